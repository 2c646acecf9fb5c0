"""The experiments as a terminal of 120 columns shows them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands.test_comment import cells

from refuseu.commands import experiments
from refuseu.commands.experiments import main
from refuseu.core.errors import UserError


def listed(*found: tuple[str | None, str, dict[str, str] | None, bool]) -> str:
    """What DVC lists for the workspace and HEAD: experiments with name, commit, executor, and whether they have data."""
    entries: list[dict[str, Any]] = [
        {"name": name, "executor": executor, "revs": [{"rev": rev, "data": {"params": {}} if data else None}]}
        for name, rev, executor, data in found
    ]
    return json.dumps([{"rev": "workspace", "experiments": None}, {"rev": "a" * 40, "experiments": entries}])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One experiment with everything as wide as it can be, one that runs, one that failed, and a workspace as HEAD."""
    output = listed(
        ("wide", "b" * 40, None, True), ("runs", "c" * 40, {"state": "running"}, True), (None, "d" * 40, None, False)
    )
    process = subprocess.CompletedProcess([], 0, output, "")
    monkeypatch.setattr(experiments, "run_module", lambda *_: process)
    monkeypatch.setattr(experiments, "bring", lambda _: "a" * 40)
    models = [f"{'long-name-' * 9}{number}" for number in range(60)]
    numbers = {
        ("b" * 40): cells(
            {each: {"zh-Hant-TW": None} for each in models} | {"long-new-" * 20: {"zh-Hant-TW": 99.0}},
            knowledge=100.0,
            over_refusal=100.0,
        ),
        ("a" * 40): cells({each: {"zh-Hant-TW": 100.0} for each in models}),
    }
    keys = {f"{'long.key.' * 20}{number}": "long value " * 20 for number in range(60)}
    monkeypatch.setattr(experiments, "parameters_at", lambda revision: keys if revision == "b" * 40 else {})
    monkeypatch.setattr(experiments, "cells_at", lambda revision: numbers[revision or "a" * 40])
    result = CliRunner().invoke(main)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_no_line_is_wider_than_a_terminal(shown: list[str]) -> None:
    assert max(map(len, shown)) <= 120
    assert sum(line.startswith("long-name-") for line in shown) == 60


def test_a_model_that_an_experiment_adds_is_named_with_its_asr(shown: list[str]) -> None:
    assert [line[-8:] for line in shown if line.startswith("only now: long-new-")] == ["ASR 99.0"]


def test_what_has_no_result_yet_is_named(shown: list[str]) -> None:
    titles = [line for line in shown if line.endswith(", beside aaaaaaa")]
    assert titles == [f"{name}, beside aaaaaaa" for name in ("wide", "runs", "ddddddd", "The workspace")]
    for title in titles[1:3]:
        assert shown[shown.index(title) + 1] == "waits, runs or failed; `dvc exp show` says which"
    assert shown[shown.index(titles[3]) + 1] == "no model differs"


def test_dvcs_own_reason_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^experiments: DVC cannot list them \(you are not inside of a DVC repository"):
        experiments.experiments()
