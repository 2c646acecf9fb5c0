"""What every stage and command is built on. From its import on, ends that are no fault of the code are a line alone.

Ctrl-C may come while libraries are still imported, and memory or the disk may run out anywhere.
"""

import errno
import sys
from types import TracebackType

NO_MEMORY = ("failed to map segment", "can't start new thread", "can't allocate memory")
"""How the system's loader, Python and PyTorch say that memory ran out, for which they have no class of their own."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The system's error numbers for a disk, or a user's share of a disk, that is full."""
NO_TEMPORARY = "No usable temporary directory"
"""What Python says where no folder for temporary files can be written, which libraries look for while they are imported."""
INTERRUPTED = "cannot load module more than once per process"
"""What numpy says the second time, where PyTorch lost a Ctrl-C that came while it imported numpy."""


def _end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Say why this process ends; for every other error as Python does."""
    if isinstance(error, KeyboardInterrupt) or INTERRUPTED in str(error):
        sys.stderr.write("\nAborted!\n")
    elif (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or any(sign in str(error) for sign in NO_MEMORY)
    ):
        sys.stderr.write(
            "Error: not enough memory; free some, lower workers and batch_size in machines/, or take a machine with more, and "
            "start again: what was finished is kept\n"
        )
    elif isinstance(error, OSError) and (error.errno in FULL or NO_TEMPORARY in str(error)):
        sys.stderr.write(
            f"Error: {error.filename or 'a folder for temporary files'}: cannot be written; make room there ('df -h' and 'df -i' "
            "show how much it has), and start again: what was finished is kept\n"
        )
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _end
