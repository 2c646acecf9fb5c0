"""An object in a process of its own: all its memory, a GPU's too, comes back when the process is closed."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

from refuseu.core.errors import UserError

Result = TypeVar("Result")


class UselessError(UserError):
    """What held a model can answer nothing more, whatever it is asked: its process died, or its GPU does no more work for it."""


GRACE = 5
"""Seconds that a process has to end by itself."""


class _Process(SpawnProcess):
    """A new Python process that ends with its parent, however that ends, and says nothing of a Ctrl-C, which its parent tells."""

    def start(self) -> None:
        """Start it so that it hears Ctrl-C only when it has loaded what it needs to end by it without a traceback."""
        # Python starts it with the first process, and takes the block of signals away.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        _end_with_parent()
        with suppress(KeyboardInterrupt):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            super().run()


class _Context(SpawnContext):
    """Spawned, not forked: a fork of a process that has used torch's threads may hang."""

    Process = _Process


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool, where they are in the middle of their work too; they are gone afterwards."""
    timers = [threading.Timer(GRACE, process.kill) for process in (pool._processes or {}).values()]
    for timer in timers:
        timer.start()
    pool.shutdown(cancel_futures=True)
    for timer in timers:
        timer.cancel()


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of new Python processes, which end with the block, and when this process ends, however it does.

    Work that is under way when the block raises an error is done to its end, and broken off after a signal such as Ctrl-C.
    """
    pool = ProcessPoolExecutor(workers, _Context())
    try:
        yield pool
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    except BaseException:
        _end(pool)
        raise
    pool.shutdown()


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
        self._pool = ProcessPoolExecutor(1, _Context())
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
        _end(self._pool)

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
