"""Processes that tests start to end them by a signal."""

import signal

import psutil

TIMEOUT = 60
"""Seconds after which a process that should have ended fails its test, rather than holding up all others."""


def hear_signals() -> None:
    """For a new process: what ends commands is heard even where the test run ignores it, as behind a shell's ``&``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def running(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody waited for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
