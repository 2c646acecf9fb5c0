"""An engine for the tests of judges: it says what the test has written, and remembers what it was asked."""

from collections.abc import Callable, Iterator, Sequence

from refuseu.llm.protocol import Completion, Prompt, Sampling


class Scripted:
    identity = "scripted"

    def __init__(self, say: Callable[[str, Sampling], Completion | str]) -> None:
        """``say`` makes a completion out of the last turn's text, or of a raw prompt."""
        self._say = say
        self.asked: list[tuple[Prompt, Sampling]] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Backwards, because no order is promised."""
        self.asked += [(prompt, sampling) for prompt in prompts]
        for position, prompt in reversed(list(enumerate(prompts))):
            said = self._say(prompt if isinstance(prompt, str) else prompt[-1]["content"], sampling)
            yield position, said if isinstance(said, Completion) else Completion(said)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float]]:
        raise AssertionError("no judge asks for log-likelihoods")
