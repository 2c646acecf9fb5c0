"""Sees how long the stages of a running pipeline take, and the most memory that they take."""

import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

STEP = 0.25
"""Seconds between two looks; a stage's time is known as exactly."""
STAGE = re.compile(r"(?:^|/)stages/([a-z-]+)\.py$")


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
        while not self._over.wait(STEP):
            for process in psutil.Process().children(recursive=True):
                try:
                    self._look_at(process)
                except psutil.Error:
                    continue  # it has ended

    def _look_at(self, process: psutil.Process) -> None:
        names = [found[1] for each in process.cmdline()[:3] if (found := STAGE.search(each))]
        if not names:
            return
        seen = self.stages.setdefault(names[0], Seen(process.create_time()))
        seen.seconds = time.time() - seen.began
        seen.host_gb = max(seen.host_gb, resident_gb(process))
        seen.gpu_gb = max(seen.gpu_gb, gpu_gb())


def resident_gb(process: psutil.Process) -> float:
    """Memory of a process and all that it has started, in GB."""
    found = 0
    for each in (process, *process.children(recursive=True)):
        try:
            found += each.memory_info().rss
        except psutil.Error:
            continue  # it has ended
    return found / 1e9


def gpu_gb() -> float:
    """Memory in use of the GPU that has most in use, in GB; 0 without one."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    if shutil.which(command[0]) is None:
        return 0.0
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return 0.0
    return max((int(each) * 2**20 / 1e9 for each in re.findall(r"^\d+$", said.stdout, re.MULTILINE)), default=0.0)
