"""Sees how long the stages of a running pipeline and the steps of its training take, and the most memory of a stage."""

import re
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from refuseu.plan import host

PAUSE = 0.25
"""Seconds between two looks; a stage's time is known as exactly."""
STAGE = re.compile(r"(?:^|/)stages/([a-z-]+)\.py$")
STEP_DONE = re.compile(r"dpo[^ :]*: (\d+) of \d+ steps")
"""How a training shows its progress, as ``dpo@balanced-0: 2 of 4 steps``."""


class Steps:
    """When the steps of a training were done, by the lines that it writes."""

    def __init__(self) -> None:
        self._done: list[tuple[int, float]] = []

    def hear(self, line: str) -> None:
        """Note the time of a line, if it tells of a step."""
        if told := STEP_DONE.match(line):
            self._done.append((int(told[1]), time.monotonic()))

    @property
    def seconds(self) -> float | None:
        """Of a step; the first one counts as a part of the start. ``None`` where fewer than two were heard of."""
        if len(self._done) < 2:
            return None
        (first, began), (last, ended) = self._done[0], self._done[-1]
        return (ended - began) / (last - first)


@dataclass
class Seen:
    """What was seen of one stage."""

    began: float
    """Seconds since the epoch."""
    seconds: float = 0.0
    host_gb: float = 0.0
    """The most memory of its processes together; what they share counts for each."""
    gpu_gb: float = 0.0
    """The most memory that any one GPU had in use, by whomever; 0 without a GPU."""


class Watch:
    """Looks at all processes that this one has started while the block runs."""

    def __init__(self) -> None:
        self.stages: dict[str, Seen] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._over.wait(PAUSE):
            for process in psutil.Process().children(recursive=True):
                try:
                    self._look_at(process)
                except psutil.Error:
                    continue  # it has ended

    def _look_at(self, process: psutil.Process) -> None:
        names = [found[1] for each in process.cmdline()[:6] if (found := STAGE.search(each))]
        if not names:
            return
        seen = self.stages.setdefault(names[0], Seen(process.create_time()))
        seen.seconds = time.time() - seen.began
        seen.host_gb = max(seen.host_gb, resident_gb(process))
        seen.gpu_gb = max([seen.gpu_gb, *(gpu.used_gb for gpu in host.gpus())])


def resident_gb(process: psutil.Process) -> float:
    """Memory of a process and all that it has started, in GB."""
    found = 0
    for each in (process, *process.children(recursive=True)):
        try:
            found += each.memory_info().rss
        except psutil.Error:
            continue  # it has ended
    return found / 1e9
