"""What ``make rehearse`` refuses before anything runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from repository import ROOT

from refuseu.commands import rehearse
from refuseu.core.errors import UserError
from refuseu.rehearsal.run import RandomRehearsal, Rehearsal


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weights", "foo"], "WEIGHTS: 'foo' is neither real nor random; name one of the two"),
        (["--profile", "no-such"], "profiles/no-such.yaml: cannot be read"),
        (["--machine", "no-such"], "machines/no-such.yaml: cannot be read"),
        (["--profile", "paper-8b", "--machine", "h100x8", "--weights", "real"], "more: 'make doctor' lists all)"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(rehearse.main, options)
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert result.output.startswith("Error: ") and said in result.output


def test_a_part_is_shown_and_kept_before_the_next_one_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What comes last asks large models once more, and its end must not cost what was measured."""

    def parts(_: Rehearsal) -> Iterator[str]:
        yield "one"
        yield "two"
        raise UserError("a GPU failed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rehearse, "kind_of", lambda *_: type("", (), {"parts": parts})())
    result = CliRunner().invoke(rehearse.main, [])
    assert result.exit_code == 1 and "one" in result.output
    assert (tmp_path / ".cache/rehearsal/rehearsal.txt").read_text() == "one\n\ntwo\n"


def test_the_real_weights_are_taken_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    monkeypatch.setattr(rehearse, "missing", lambda *_: [])
    assert type(rehearse.kind_of(None, "paper-8b", None)) is Rehearsal
    monkeypatch.setattr(rehearse, "missing", lambda *_: ["a package is not installed"])
    assert type(rehearse.kind_of(None, "paper-8b", None)) is RandomRehearsal
