"""An engine whose rows are kept in the row store; it speaks the engines' protocol itself."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from refuseu.core.progress import track
from refuseu.engines.protocol import Completion, Engine, Finish, Prompt, Sampling
from refuseu.engines.unasked import UnaskedError
from refuseu.store.rows import Store, row_key

T = TypeVar("T")

DIGITS = 6
"""Decimals of a number that are kept: noise between batch shapes lies far below."""
VERSION = 4
"""Of what the engines compute. It goes into every key: raised when the same question to the same model gets another value."""


class StoredEngine:
    """Asks its engine for the rows that the store does not hold, and for its engine when there are such rows."""

    def __init__(self, identity: str, engine: Callable[[], Engine], store: Store, progress: str | None = None) -> None:
        """``engine`` is called whenever rows are missing; it loads the model where that is not in memory.

        ``progress`` is the stage whose rows are shown as they get done; without it nothing is shown.
        """
        self.identity = identity
        self._engine = engine
        self._store = store
        self._progress = progress

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        drawn = _deciding(sampling)
        keys = [self._key(prompt, sampling=drawn) for prompt in prompts]

        def work(missing: list[int]) -> Iterable[tuple[int, str]]:
            done = self._engine().complete([prompts[position] for position in missing], sampling)
            for position, completion in self._placed(done, missing):
                yield position, _written(completion)

        return enumerate(map(_read, self._store.complete(keys, work)))

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float]]:
        keys = [self._key(prompt, continuation=text) for prompt, text in pairs]

        def work(missing: list[int]) -> Iterable[tuple[int, str]]:
            done = self._engine().log_likelihoods([pairs[position] for position in missing])
            for position, score in self._placed(done, missing):
                yield position, repr(round(score, DIGITS))

        return enumerate(map(float, self._store.complete(keys, work)))

    def _placed(self, done: Iterable[tuple[int, T]], missing: Sequence[int]) -> Iterator[tuple[int, T]]:
        """What the engine has done of the rows that are ``missing``, or could not do, by their positions among all rows."""
        shown = track(done, len(missing), self._progress, "row") if self._progress else done
        try:
            for position, result in shown:
                yield missing[position], result
        except UnaskedError as error:
            raise error.at(missing) from None

    def _key(self, prompt: Prompt, **asked: object) -> str:
        kind = "raw" if isinstance(prompt, str) else "messages"
        return row_key(version=VERSION, model=self.identity, **{kind: prompt}, **asked)


def _deciding(sampling: Sampling) -> dict[str, Any]:
    """The settings that go into a key; what came later stays out where it is not set, so that rows of before are found."""
    drawn = asdict(sampling)
    if drawn["chat_template_kwargs"] is None:
        del drawn["chat_template_kwargs"]
    return drawn


def _written(completion: Completion) -> str:
    probabilities = [round(each, DIGITS) for each in completion.probabilities]
    return json.dumps([completion.text, completion.finish, probabilities], ensure_ascii=False)


def _read(value: str) -> Completion:
    text, finish, probabilities = json.loads(value)
    return Completion(text, Finish(finish), tuple(probabilities))
