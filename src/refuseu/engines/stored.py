"""An engine whose rows are kept in the row store; it speaks the engines' protocol itself."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property

from refuseu.engines.protocol import Completion, Conversation, Engine, Finish, Sampling
from refuseu.store import Store, row_key

DIGITS = 6
"""Decimals of a number that are kept: noise between batch shapes lies far below."""
VERSION = 3
"""Of what the engines compute. It goes into every key: raised when the same question to the same model gets another value."""


class StoredEngine:
    """Loads its engine when the first row is asked for that the store does not hold."""

    def __init__(self, identity: str, load: Callable[[], Engine], store: Store) -> None:
        self.identity = identity
        self._load = load
        self._store = store

    @cached_property
    def _engine(self) -> Engine:
        return self._load()

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        drawn = asdict(sampling)
        keys = [self._key(messages=conversation, sampling=drawn) for conversation in conversations]

        def work(missing: list[int]) -> Iterable[tuple[int, str]]:
            asked = [conversations[position] for position in missing]
            for position, completion in self._engine.complete(asked, sampling):
                yield missing[position], _written(completion)

        return enumerate(map(_read, self._store.complete(keys, work)))

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, float]]:
        keys = [self._key(messages=conversation, continuation=text) for conversation, text in pairs]

        def work(missing: list[int]) -> Iterable[tuple[int, str]]:
            for position, score in self._engine.log_likelihoods([pairs[position] for position in missing]):
                yield missing[position], repr(round(score, DIGITS))

        return enumerate(map(float, self._store.complete(keys, work)))

    def _key(self, **asked: object) -> str:
        return row_key(version=VERSION, model=self.identity, **asked)


def _written(completion: Completion) -> str:
    probabilities = [round(each, DIGITS) for each in completion.probabilities]
    return json.dumps([completion.text, completion.finish, probabilities], ensure_ascii=False)


def _read(value: str) -> Completion:
    text, finish, probabilities = json.loads(value)
    return Completion(text, Finish(finish), tuple(probabilities))
