"""An object in a process of its own: answers and errors come through, and nothing is left of it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from signals import hear_signals

from refuseu.core.errors import UserError
from refuseu.llm.worker_process import GRACE, UselessError, WorkerProcess

LONG = 600
"""Seconds that nobody waits for in these tests."""


class Counter:
    def __init__(self, start: int) -> None:
        if start < 0:
            raise UserError("start is below 0")
        self._count = start

    def add(self, number: int) -> int:
        self._count += number
        return self._count

    def die(self, number: int) -> int:
        os._exit(number)


def test_the_object_keeps_what_it_was_told() -> None:
    child = WorkerProcess(partial(Counter, 5), "counter")
    assert list(child.map(Counter.add, [(1,), (2,)])) == [6, 8]
    assert list(child.map(Counter.add, [(10,)])) == [18]
    assert child.pid != os.getpid()
    child.close()
    assert not multiprocessing.active_children()


def test_an_error_of_the_making_comes_through_and_leaves_no_process() -> None:
    with pytest.raises(UserError, match="start is below 0"):
        WorkerProcess(partial(Counter, -1), "counter")
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_a_sentence() -> None:
    child = WorkerProcess(partial(Counter, 5), "counter")
    for method in (Counter.die, Counter.add):
        with pytest.raises(UselessError, match=r"^counter: the process that held it died"):
            list(child.map(method, [(1,)]))
    child.close()


PARENT = """
import time
from functools import partial
from refuseu.llm.worker_process import WorkerProcess
if __name__ == "__main__":
    child = WorkerProcess(partial(list, [1]), "list")
    print(child.pid, flush=True)
    {then}
"""


def started(tmp_path: Path, then: str) -> tuple["subprocess.Popen[str]", int]:
    """A script that holds a child and then does ``then``; the script's process, and the child's id."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(then=then))
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def gone(pid: int) -> None:
    """Return when the process has ended."""
    import psutil

    try:
        psutil.Process(pid).wait(timeout=60)
    except psutil.NoSuchProcess:
        return


def test_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    parent, child = started(tmp_path, f"time.sleep({LONG})")
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    gone(child)


def test_work_that_goes_on_is_broken_off_by_close(tmp_path: Path) -> None:
    work = f"child._pool.submit(time.sleep, {LONG}); child.close()"
    parent, child = started(tmp_path, work)
    parent.communicate(timeout=60)
    gone(child)


POOL = """
import os, sys, time
from refuseu.llm.worker_process import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as pool:
        slept = pool.map(time.sleep, [{seconds}] * 6)
        print(*pool._processes, flush=True)
        list(slept)
"""


def pool_of(tmp_path: Path, seconds: float) -> tuple["subprocess.Popen[str]", list[int]]:
    """A script with a pool of two that sleeps, in a process group of its own, and the ids of its processes, which still start."""
    script = tmp_path / "pool.py"
    script.write_text(POOL.format(seconds=seconds))
    parent = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=hear_signals,
    )
    assert parent.stdout is not None
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


@pytest.mark.parametrize("after", [0, 0.05, 3])
def test_a_killed_parent_takes_all_workers_of_a_pool_along(after: float, tmp_path: Path) -> None:
    parent, children = pool_of(tmp_path, LONG)
    time.sleep(after)
    parent.kill()
    parent.communicate()
    assert len(children) == 2
    for child in children:
        gone(child)


@pytest.mark.parametrize("after", [0, 0.05, 0.1, 0.2, 3])
def test_ctrl_c_ends_a_pool_soon_and_with_one_word_of_the_parent(after: float, tmp_path: Path) -> None:
    """The workers are still starting, or in the middle of their work; more of it waits in their queue."""
    parent, children = pool_of(tmp_path, LONG)
    time.sleep(after)
    begun = time.monotonic()
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    assert time.monotonic() - begun < GRACE + 5
    for child in children:
        gone(child)
    assert said == "\nAborted!\n"


def test_a_pool_of_which_the_parent_alone_is_interrupted_ends_after_the_grace(tmp_path: Path) -> None:
    parent, children = pool_of(tmp_path, LONG)
    time.sleep(2)
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=60)
    for child in children:
        gone(child)
