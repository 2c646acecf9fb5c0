"""Git, and modules of this environment such as DVC, as processes of their own: whatever they raise ends at the process's edge.

Each has an end: nobody is asked anything, and what does not answer is stopped.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from refuseu.core.errors import UserError
from refuseu.review.causes import known_cause

LONGEST = 900.0
"""Seconds until a process is stopped. A remote that answers brings an evaluation in less, and one that hangs never does."""
ERROR = re.compile(r"(?:error|fatal): (?:unexpected error - )?(.+)", re.IGNORECASE)
"""How DVC, Git and the commands of the project begin the line that says what is wrong."""
LONGEST_REASON = 300
OF_A_HOOK = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
)
"""What Git tells a hook of the repository that it runs in. It would stand in for the one that a command looks at."""


def outside_of_hooks() -> dict[str, str]:
    """The environment without what a Git hook hands down."""
    return {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with ``arguments`` and keep what it prints, as UTF-8 whatever the terminal's encoding is."""
    return _decoded(run([sys.executable, "-m", *arguments]))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``git`` with ``arguments`` and keep what it prints."""
    return _decoded(run(["git", *arguments]))


def _decoded(process: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = (text.decode("utf-8", "replace") for text in (process.stdout, process.stderr))
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def run(command: Sequence[str], longest: float = LONGEST) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a session of its own, which has no terminal to ask in and can be stopped with all its children.

    Raises:
        UserError: when it takes longer than ``longest`` seconds, or is not installed.
    """
    name = " ".join(command[command[0] == sys.executable and 2 :][:2])
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**outside_of_hooks(), "GIT_TERMINAL_PROMPT": "0", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"{command[0]} cannot be run ({error.strerror}); install it, or put it on the PATH") from None
    try:
        stdout, stderr = process.communicate(timeout=longest)
    except BaseException as interruption:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(interruption, subprocess.TimeoutExpired):
            raise
        raise UserError(
            f"'{name}' gave no answer within {longest:g} seconds and was stopped; is its server or remote within reach?"
        ) from None
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def reason(process: subprocess.CompletedProcess[str]) -> str:
    """Why ``process`` failed, in one line: the known cause, else its first message of an error, or of a traceback the last."""
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
    errors = [found[1] for line in lines if (found := ERROR.match(line))]
    told = lines[-1:] if any(line.startswith("Traceback ") for line in lines) else [" ".join(lines)[:LONGEST_REASON]]
    return known_cause(process.stderr) or next(filter(None, [*errors, *told]), f"exit code {process.returncode}")
