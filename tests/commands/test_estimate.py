import pytest
from click.testing import CliRunner
from repository import ROOT

from refuseu.commands import estimate


def test_the_command_prints_the_estimate_then_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    result = CliRunner().invoke(estimate.main, ["--profile", "miniature"])
    assert result.exit_code == 0, result.output
    stages, _, assumed, missing = result.output.split("\n\n")
    assert [line.split()[0] for line in stages.splitlines()[2:] if line[0] != " "] == [
        "base", "rainbow-teaming", "translate", "respond", "label", "split", "dpo", "eval", "all,",
    ]  # fmt: skip
    assert "tokens of a word" in assumed and missing == "Nothing is missing on this machine.\n"
    assert max(map(len, result.output.splitlines())) <= 100
