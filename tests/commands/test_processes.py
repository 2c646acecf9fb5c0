import subprocess
from pathlib import Path

import pytest

from refuseu.commands.processes import reason, run_module


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
