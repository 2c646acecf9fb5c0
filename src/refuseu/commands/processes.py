"""Modules of this environment run as processes of their own, so that whatever they raise ends at the process's edge."""

import os
import subprocess
import sys


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with ``arguments`` and keep what it prints, as UTF-8 whatever the terminal's encoding is."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )


def reason(process: subprocess.CompletedProcess[str]) -> str:
    """Why ``process`` failed, in one line: its first message of an error, else the last line of its traceback."""
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
    errors = [line.partition(": ")[2] for line in lines if line.casefold().startswith("error: ")]
    return next(iter([*errors, *reversed(lines)]), f"exit code {process.returncode}")
