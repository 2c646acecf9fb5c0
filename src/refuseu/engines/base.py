"""What every engine offers, whatever runs below it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from refuseu.store import Store, row_key

Message = dict[str, str]
"""``role`` and ``content``, as chat templates take it."""
Conversation = list[Message]

DIGITS = 6
"""Decimals of a log-likelihood that are kept: float64 noise between batch shapes lies far below."""
VERSION = 2
"""Of what the engines compute. It goes into every key: raised when the same question to the same model gets another value."""


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn. Decoding is greedy: the miniature's results must not depend on a sampler."""

    max_new_tokens: int


class Engine(Protocol):
    identity: str
    """Hash of the weights and the tokenizer: what a stored completion is filed under."""

    def chat(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, str]]:
        """Yields (position, completion) as they get done, in any order."""

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        """Natural-log likelihood of each continuation as the answer to its conversation, summed over its tokens."""


def user(text: str) -> Conversation:
    """A conversation of one user turn."""
    return [{"role": "user", "content": text}]


def stored_chat(engine: Engine, conversations: Sequence[Conversation], sampling: Sampling, store: Store) -> list[str]:
    """Completions in the order of ``conversations``; those that ``store`` holds are not generated again."""
    keys = [
        row_key(version=VERSION, model=engine.identity, messages=conversation, max_new_tokens=sampling.max_new_tokens)
        for conversation in conversations
    ]

    def work(missing: list[int]) -> Iterable[tuple[int, str]]:
        for position, completion in engine.chat([conversations[index] for index in missing], sampling):
            yield missing[position], completion

    return store.complete(keys, work)


def stored_log_likelihoods(engine: Engine, pairs: Sequence[tuple[Conversation, str]], store: Store) -> list[float]:
    """Log-likelihoods in the order of ``pairs``; those that ``store`` holds are not computed again."""
    keys = [
        row_key(version=VERSION, model=engine.identity, messages=conversation, continuation=continuation)
        for conversation, continuation in pairs
    ]

    def work(missing: list[int]) -> Iterable[tuple[int, str]]:
        scores = engine.log_likelihoods([pairs[index] for index in missing])
        return zip(missing, (repr(round(score, DIGITS)) for score in scores), strict=True)

    return [float(value) for value in store.complete(keys, work)]
