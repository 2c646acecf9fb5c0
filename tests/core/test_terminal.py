import ast
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.core.progress import Progress
from refuseu.core.terminal import escaped, say


def test_what_the_terminal_cannot_show_is_a_question_mark() -> None:
    script = "import sys; from refuseu.core.terminal import tolerate_encodings; tolerate_encodings(); print('ā → b'); "
    script += "print('ł', file=sys.stderr)"
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-15", "PYTHONPATH": str(ROOT / "src")}
    printed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert (printed.returncode, printed.stdout, printed.stderr) == (0, b"? ? b\n", b"?\n")


HOSTILE = "\x1b]0;title\x07\x1b[2Kfine\r\x9b31m\u202eevil\u2066\0\x7f\ud800"
SHOWN = "\\x1b]0;title\\x07\\x1b[2Kfine\\r\\x9b31m\\u202eevil\\u2066\\x00\\x7f\\ud800"


def test_control_characters_are_shown_as_their_escapes() -> None:
    assert escaped(HOSTILE) == SHOWN
    assert escaped("a\tb\nŻółć ‘quoted’ – a\u00a0b") == "a\tb\nŻółć ‘quoted’ – a\u00a0b"


@pytest.mark.parametrize("err", [False, True])
def test_what_is_said_is_escaped_and_bold_is_ours(err: bool, capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE, err=err)
    say(HOSTILE, err=err, nl=False)
    captured = capsys.readouterr()
    assert (captured.err if err else captured.out) == f"{SHOWN}\n{SHOWN}"


def test_a_password_in_an_address_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    say("cannot reach https://me:secret@host/v1 or http://token@host; see a@b.org and https://host/a@b")
    assert (
        capsys.readouterr().out
        == "cannot reach https://***@host/v1 or http://***@host; see a@b.org and https://host/a@b\n"
    )
    assert UserError("s3://me:secret@bucket: no").format_message() == "s3://***@bucket: no"


def test_an_error_is_one_line_whatever_stands_in_it() -> None:
    @click.command()
    def fail() -> None:
        raise UserError(f"{HOSTILE}: no such row\nError: all is well\r\n")

    result = CliRunner().invoke(fail)
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {SHOWN.replace(chr(92) + 'r', ' ')}: no such row Error: all is well\n",
    )


def test_a_stage_s_progress_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_PROGRESS", "log")
    with Progress("eval\x1b", 1, "row") as progress:
        progress.advance()
    assert capsys.readouterr().err == "eval\\x1b: 1 of 1 rows\n"


def test_nothing_goes_to_a_terminal_by_another_way() -> None:
    """``print``, ``click.echo`` and the streams themselves are for core/terminal.py, and for the last words of a process that may
    have no memory to import it (core/__init__.py).
    """
    ways = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for folder in ("src", "stages")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in ("src/refuseu/core/terminal.py", "src/refuseu/core/__init__.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ways
    ]
    assert found == []
