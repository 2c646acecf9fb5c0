"""Ends that are no fault of the code, in processes of their own."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT
from signals import TIMEOUT, hear_signals


def test_ctrl_c_while_libraries_are_imported_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time; print('begun', flush=True); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-c", f"import refuseu.core, sys; sys.path.insert(0, {str(tmp_path)!r}); import slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=TIMEOUT)[1] == "\nAborted!\n"
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_that_pytorch_lost_is_a_line() -> None:
    done = ended("import refuseu.core; raise ImportError('cannot load module more than once per process')")
    assert (done.returncode, done.stderr) == (1, "\nAborted!\n")


def ended(program: str, room: int | None = None) -> subprocess.CompletedProcess[str]:
    """A Python process that has at most ``room`` bytes of memory."""
    limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room))) if room else None
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=TIMEOUT,
    )


@pytest.mark.parametrize(
    "fails",
    [
        "import numpy; numpy.zeros(10**9)",
        "bytearray(10**10)",
        "raise OSError(12, 'Cannot allocate memory')",
        'raise RuntimeError("can\'t start new thread")',
    ],
)
def test_memory_that_runs_out_is_a_sentence(fails: str) -> None:
    done = ended(f"import refuseu.core; {fails}", 400_000_000)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: not enough memory; free some, ")
    assert done.stderr.count("\n") == 1


def test_a_fault_of_the_code_is_shown_as_it_is() -> None:
    done = ended("import refuseu.core; 1 / 0")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback ") and done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("fails", "where"),
    [
        ("raise OSError(28, 'No space left on device', '/a/file')", "/a/file"),
        (
            "import tempfile; tempfile._candidate_tempdir_list = lambda: []; tempfile.gettempdir()",
            "a folder for temporary files",
        ),
    ],
)
def test_a_full_disk_is_a_sentence_where_a_library_is_imported_too(fails: str, where: str) -> None:
    done = ended(f"import refuseu.core; {fails}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {where}: cannot be written; make room there ")
    assert done.stderr.count("\n") == 1
