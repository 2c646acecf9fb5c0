"""What ends a process ends it as Ctrl-C does: finished work is kept, and what it has started ends too.

Slurm and ``kill`` send SIGTERM, a closed terminal SIGHUP. Python by itself ends at once at both, and what it has started goes on.
As a module of its own this is how ``stages/run`` runs the script of a stage.
"""

import contextlib
import os
import runpy
import signal
import sys
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


def end_as_by_ctrl_c() -> None:
    """From now on SIGTERM and SIGHUP end this process and all that it has started as Ctrl-C does.

    A signal that is ignored stays ignored, as a closed terminal is under ``nohup``.
    """
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A terminal sends Ctrl-C to all processes at once; these signals may come to one alone."""
    import psutil

    # A second signal while the work is put in order would break that off.
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            os.kill(child.pid, signal.SIGINT)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # to whoever hears Ctrl-C now, as asyncio does while it runs


if __name__ == "__main__":
    end_as_by_ctrl_c()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
