import subprocess
import sys
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.review.processes import git, reason, run, run_module


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (
            "WARNING: slow\nERROR: failed to get 'x' - no such file\n\nHaving any troubles?\n",
            "failed to get 'x' - no such file",
        ),
        ("Error: gate: no revision 'x'\n", "gate: no revision 'x'"),
        ("Traceback (most recent call last):\n  File 'x'\nKeyError: 'x'\n", "KeyError: 'x'"),
        ("\n", "exit code 3"),
        ("ERROR: unexpected error - [Errno 5] broken\n\nHaving any troubles?\n", "[Errno 5] broken"),
        (
            "'./dvc.lock' validation failed.\n\nrequired key not provided, in schema\n",
            "'./dvc.lock' validation failed. required key not provided, in schema",
        ),
        ("fatal: ambiguous argument 'x'\nUse '--' to separate paths\n", "ambiguous argument 'x'"),
    ],
)
def test_the_reason_is_one_line(stderr: str, expected: str) -> None:
    assert reason(subprocess.CompletedProcess([], 3, "", stderr)) == expected


def test_what_a_module_prints_is_kept_whatever_the_terminals_encoding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "iso-8859-15")
    (tmp_path / "arrow.json").write_text('"0.0 → 60.0, ā"', encoding="utf-8")
    printed = run_module("json.tool", "--no-ensure-ascii", str(tmp_path / "arrow.json"))
    assert (printed.returncode, printed.stdout.strip()) == (0, '"0.0 → 60.0, ā"')


def test_what_does_not_answer_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    """As a credential helper that waits for a person, or a server that accepts and says nothing."""
    started = tmp_path / "child"
    with pytest.raises(UserError, match=r"^'sh -c' gave no answer within 0.5 seconds and was stopped"):
        run(["sh", "-c", f"sleep 600 & echo $! > {started}; wait"], longest=0.5)
    child = Path(f"/proc/{started.read_text().strip()}/stat")
    assert not child.exists() or child.read_text().split(") ")[1][0] == "Z"


def test_a_child_that_outlives_its_parent_and_holds_its_output_is_stopped_too() -> None:
    with pytest.raises(UserError, match=r"gave no answer within 0\.5 seconds"):
        run(["sh", "-c", "sleep 600 &"], longest=0.5)


def test_nobody_is_asked_for_anything() -> None:
    asks = "import os; print(os.environ['GIT_TERMINAL_PROMPT']); open('/dev/tty')"
    asked = run([sys.executable, "-c", asks])
    assert (asked.returncode, asked.stdout) == (1, b"0\n")
    assert run(["cat"]).stdout == b""


def test_what_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"^git cannot be run \(No such file or directory\); install it"):
        git("status")
