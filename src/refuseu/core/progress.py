"""Shows how far a stage is: as one line that is redrawn in a terminal, or as a few plain lines in a log."""

import os
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Never, Self, TypeVar

from tqdm import tqdm

from refuseu.core.terminal import say

T = TypeVar("T")

PARTS = 10
"""A stage writes at most this many lines to a log."""
CALM = 0.5
"""The least number of seconds between two drawings in a terminal."""


class Progress:
    """A context manager that counts the work of a stage and shows the count on stderr.

    Two processes that share a terminal would draw over each other. With ``REFUSEU_PROGRESS=log`` they write plain lines to
    the terminal too.
    """

    def __init__(self, stage: str, total: int, unit: str) -> None:
        """``unit`` is the name of one of the ``total``, such as ``step`` in "base: 400 of 2000 steps"."""
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
        """Report that ``count`` more are done."""
        before, self._done = self._done, self._done + count
        if self._bar is not None:
            self._bar.update(count)
        elif PARTS * before // self._total < PARTS * self._done // self._total:
            say(f"{self._stage}: {self._done} of {self._total} {self._unit}s", err=True)


def track(items: Iterable[T], total: int, stage: str, unit: str) -> Iterator[T]:
    """Yield ``items``; each is counted when the next one is asked for."""
    with Progress(stage, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()


def _drawn() -> bool:
    """Whether the line is redrawn. A terminal that does not know its size, as on a serial line, is written to like a log."""
    if os.environ.get("REFUSEU_PROGRESS") == "log" or not sys.stderr.isatty():
        return False
    return os.get_terminal_size(sys.stderr.fileno()).columns > 0


def _bar(stage: str, total: int, unit: str) -> "tqdm[Never]":
    return tqdm(total=total, desc=stage, unit=f" {unit}", dynamic_ncols=True, mininterval=CALM, miniters=1)
