"""A process that ends when the one that started it has ended, however that was: after SIGKILL nobody could tell it to."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
"""The option of ``prctl`` for a signal at the parent's death, from ``linux/prctl.h``."""


def end_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """From now on this process gets the signal ``by`` when its parent ends. It lasts through ``exec``; only Linux knows it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)
