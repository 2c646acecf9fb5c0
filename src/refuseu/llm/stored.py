"""The engine that stages ask: it keeps what an engine has done in the row store, and sums up what failed."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any, TypeVar

from refuseu.core.errors import UserError
from refuseu.core.progress import track
from refuseu.llm.journal import journaled
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, RawPrompt, RowEngine, Sampling
from refuseu.llm.reasoning import split
from refuseu.store.rows import Store, row_key
from refuseu.weights.encoding import key_of_cuts

T = TypeVar("T")

DIGITS = 6
"""Decimals of a number that are kept: noise between batch shapes lies far below."""
VERSION = 4
"""The version of what the engines compute. It is part of every key, and is raised when an engine answers the same question in
another way."""
SHOWN = 10
"""The largest number of positions that are named of the rows that failed for one reason."""


class StoredEngine:
    """Asks its engine for the rows that the store does not hold, and for its engine when there are such rows.

    A row that failed is not kept, so the next run asks it again; all others are done first.
    """

    def __init__(
        self,
        identity: str,
        engine: Callable[[], RowEngine],
        store: Store,
        progress: str | None = None,
        name: str | None = None,
        encodes: bool = True,
    ) -> None:
        """``engine`` is called whenever rows are missing; it loads the model where that is not in memory.

        ``progress`` is the stage whose rows are shown as they get done; without it nothing is shown. ``name`` is what the model
        is called in error texts, by default its identity. ``encodes`` tells whether the engine makes the token ids itself, and
        not a server.
        """
        self.identity = identity
        self._engine = engine
        self._store = store
        self._progress = progress
        self._name = name or identity
        self._encodes = encodes

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        drawn = _deciding(sampling)
        keys = [self._key(prompt, sampling=drawn) for prompt in prompts]

        def work(missing: list[int]) -> Iterator[tuple[int, str]]:
            done = self._opened().complete([prompts[position] for position in missing], sampling)
            return self._written(done, missing, _completion_written)

        return enumerate(map(_completion_read, self._store.complete(keys, work, self.identity)))

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float]]:
        keys = [self._key(prompt, continuation=text) for prompt, text in pairs]

        def work(missing: list[int]) -> Iterator[tuple[int, str]]:
            done = self._opened().log_likelihoods([pairs[position] for position in missing])
            return self._written(done, missing, _score_written)

        return enumerate(map(float, self._store.complete(keys, work, self.identity)))

    def _opened(self) -> RowEngine:
        began = perf_counter()
        engine = self._engine()
        return journaled(engine, self._name, perf_counter() - began)

    def _written(
        self, done: Iterable[tuple[int, T]], missing: Sequence[int], write: Callable[[T], str | Failed]
    ) -> Iterator[tuple[int, str]]:
        """What the engine has done of the rows that are ``missing``, by their positions among all rows.

        Raises:
            UserError: at the end, for those that failed.
        """
        shown = track(done, len(missing), self._progress, "row") if self._progress else done
        failed: dict[str, list[int]] = {}
        for position, outcome in shown:
            match write(outcome):
                case Failed(reason=reason):
                    failed.setdefault(reason, []).append(missing[position])
                case text:
                    yield missing[position], text
        if failed:
            raise UserError(f"{self._name}: {_summary(failed, len(missing))}")

    def _key(self, prompt: Prompt, **asked: object) -> str:
        kind = "raw" if isinstance(prompt, str) else "messages"
        texts = [*_from_outside(prompt), str(asked.get("continuation", ""))]
        cuts = key_of_cuts(texts) if self._encodes else {}
        return row_key(version=VERSION, model=self.identity, **{kind: prompt}, **asked, **cuts)


def _from_outside(prompt: Prompt) -> Sequence[str]:
    match prompt:
        case RawPrompt(parts=parts):
            return parts[1::2]
        case str():
            return []
        case conversation:
            return [turn["content"] for turn in conversation]


def _deciding(sampling: Sampling) -> dict[str, Any]:
    """The settings that go into a key; what came later stays out where it is not set, so that rows of before are found."""
    drawn = asdict(sampling)
    if drawn["chat_template_kwargs"] is None:
        del drawn["chat_template_kwargs"]
    return drawn


def _completion_written(completion: Completion) -> str | Failed:
    if completion.finish is Finish.FAILED:
        return Failed(completion.reason)
    probabilities = [round(each, DIGITS) for each in completion.probabilities]
    apart = [completion.reasoning] if completion.reasoning else []
    return json.dumps([completion.text, completion.finish, probabilities, *apart], ensure_ascii=False)


def _completion_read(value: str) -> Completion:
    """A row holds what the model wrote; its reasoning is taken out here, so that another way to do so loses no row."""
    raw, finish, probabilities, *apart = json.loads(value)
    reasoning, text = (*apart, raw) if apart else split(raw)
    return Completion(text, Finish(finish), tuple(probabilities), reasoning=reasoning)


def _score_written(score: float | Failed) -> str | Failed:
    return score if isinstance(score, Failed) else repr(round(score, DIGITS))


def _summary(failed: dict[str, list[int]], asked: int) -> str:
    """One sentence on all rows that failed: how many, and for each reason where they stand among the rows of the call."""
    count = sum(map(len, failed.values()))
    reasons = "; ".join(f"{reason}: {_positions(sorted(positions))}" for reason, positions in sorted(failed.items()))
    kept = "the others are kept, and the stage run again asks for these alone" if count < asked else "no row is done"
    return f"{count} of {asked} rows failed (their positions count from 0): {reasons}; {kept}"


def _positions(positions: Sequence[int]) -> str:
    more = f" and {len(positions) - SHOWN} more" if len(positions) > SHOWN else ""
    return f"{', '.join(map(str, positions[:SHOWN]))}{more}"
