"""An object in a process of its own: all its memory, a GPU's too, comes back when the process is closed."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from typing import Any, TypeVar

from refuseu.core.errors import UserError

Result = TypeVar("Result")


class UselessError(UserError):
    """What held a model can answer nothing more, whatever it is asked: its process died, or its GPU does no more work for it."""


GRACE = 5
"""Seconds that a process has to end by itself."""


class WorkerProcess:
    """Makes the object in a new Python process that shares nothing with this one, and calls its methods there.

    The process ends with ``close``, and when this process ends, however it does.
    """

    def __init__(self, make: Callable[[], object], name: str) -> None:
        """``name`` is what the object is called in error texts.

        Raises:
            UselessError: when the process dies while it makes the object; what ``make`` raises comes through.
        """
        self._name = name
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
        try:
            with self._alive():
                self.pid = self._pool.submit(_make, make).result()
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
            raise

    def map(self, method: Callable[..., Result], calls: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Yield ``method(object, *arguments)`` for the arguments of each call, in order; the next is worked on meanwhile.

        Raises:
            UselessError: when the process dies; what ``method`` raises comes through.
        """
        with self._alive():
            yield from self._pool.map(partial(_apply, method), calls)

    def close(self) -> None:
        """End the process, where it is in the middle of its work too; it is gone afterwards."""
        processes = [process for process in multiprocessing.active_children() if process.pid == self.pid]
        timers = [threading.Timer(GRACE, process.kill) for process in processes]
        for timer in timers:
            timer.start()
        self._pool.shutdown(cancel_futures=True)
        for timer in timers:
            timer.cancel()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except BrokenProcessPool:
            raise UselessError(
                f"{self._name}: the process that held it died, most likely for want of memory; give it more, or less to do "
                "at once, in machines/"
            ) from None


_made: Any = None
"""The object, in the process that it was made in."""


def _make(make: Callable[[], object]) -> int:
    global _made
    _made = make()
    return os.getpid()


def _apply(method: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    return method(_made, *arguments)


def _end_with_parent() -> None:
    """A parent that is killed tells nobody, and the worker would go on holding the memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
