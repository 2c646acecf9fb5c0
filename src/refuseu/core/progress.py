"""How far a stage is: one line that is redrawn in a terminal, a plain line now and then in a log."""

import os
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Never, Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")

PARTS = 10
"""Lines at most that a stage writes to a log."""
CALM = 0.5
"""Seconds at least between two drawings in a terminal."""


class Progress:
    """Counts the work of a stage on stderr; a context manager.

    Two processes that share a terminal would draw over each other: with ``REFUSEU_PROGRESS=log`` they write lines there
    too.
    """

    def __init__(self, stage: str, total: int, unit: str) -> None:
        """``unit`` is the name of one of ``total``: ``step`` for "base: 400 of 2000 steps"."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done = 0
        self._bar = _bar(stage, total, unit) if _drawn() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int = 1) -> None:
        """``count`` more are done."""
        before, self._done = self._done, self._done + count
        if self._bar is not None:
            self._bar.update(count)
        elif PARTS * before // self._total < PARTS * self._done // self._total:
            # In one call, so that the line stays whole where another process writes to the same log.
            sys.stderr.write(f"{self._stage}: {self._done} of {self._total} {self._unit}s\n")
            sys.stderr.flush()


def track(items: Iterable[T], total: int, stage: str, unit: str) -> Iterator[T]:
    """``items``, each counted when the next one is asked for."""
    with Progress(stage, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()


def _drawn() -> bool:
    """A terminal that does not know its size, as on a serial line, is written to like a log."""
    if os.environ.get("REFUSEU_PROGRESS") == "log" or not sys.stderr.isatty():
        return False
    return os.get_terminal_size(sys.stderr.fileno()).columns > 0


def _bar(stage: str, total: int, unit: str) -> "tqdm[Never]":
    return tqdm(total=total, desc=stage, unit=f" {unit}", dynamic_ncols=True, mininterval=CALM, miniters=1)
