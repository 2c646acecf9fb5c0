"""An engine for the tests of judges: it says what the test has written, and remembers what it was asked."""

from collections.abc import Callable, Iterator, Sequence

from refuseu.engines.protocol import Completion, Conversation, Sampling


class Scripted:
    identity = "scripted"

    def __init__(self, say: Callable[[str, Sampling], Completion | str]) -> None:
        """``say`` makes a completion out of the last turn's text."""
        self._say = say
        self.asked: list[tuple[Conversation, Sampling]] = []

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Backwards, because no order is promised."""
        self.asked += [(conversation, sampling) for conversation in conversations]
        for position in reversed(range(len(conversations))):
            said = self._say(conversations[position][-1]["content"], sampling)
            yield position, said if isinstance(said, Completion) else Completion(said)

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, float]]:
        raise AssertionError("no judge asks for log-likelihoods")
