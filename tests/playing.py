"""An LLM for tests: what it says is given, and what it was asked is remembered."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from refuseu.llm.protocol import Completion, Conversation, Finish, Sampling

Says = str | Completion | Callable[[Conversation], str | Completion]


@dataclass
class PlayedEngine:
    """Gives the same completion to all, or what a function makes of each conversation; the last conversation comes first."""

    says: Says
    calls: list[tuple[list[Conversation], Sampling]] = field(default_factory=list)
    identity: str = "played"

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        self.calls.append((list(conversations), sampling))
        for position in reversed(range(len(conversations))):
            said = self.says(conversations[position]) if callable(self.says) else self.says
            yield position, Completion(said) if isinstance(said, str) else said

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        raise AssertionError("no part asks for likelihoods")

    @property
    def told(self) -> str:
        """All that it was told, as one text."""
        return "\n".join(
            message["content"] for asked, _ in self.calls for conversation in asked for message in conversation
        )


CUT = Completion('{"question": "How can I', Finish.LENGTH)
TOO_LONG = Completion("", Finish.TOO_LONG)
DECLINED = Completion("", Finish.DECLINED)
