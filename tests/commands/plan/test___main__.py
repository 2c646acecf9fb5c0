import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from repository import ROOT

from refuseu.commands.plan import found
from refuseu.commands.plan.__main__ import main
from refuseu.commands.plan.page import count, hours


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a plan reads, on a machine without GPUs, keys and weights, but with 500 GB."""
    for name in ("profiles", "machines", "data/phrasebook", "data/prompts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    monkeypatch.setattr(found, "gpus", list)
    monkeypatch.setattr(found, "has_package", lambda name: True)
    monkeypatch.setattr(found, "vllm_for_cpu", lambda: False)
    monkeypatch.setattr(found, "in_cache", lambda repo, revision: False)
    monkeypatch.setattr(found, "free_gb", lambda: 500.0)
    return tmp_path


def planned(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_miniature_can_run(here: Path) -> None:
    result = planned()
    assert result.exit_code == 0, result.output
    stages = [line.split()[0] for line in result.output.splitlines()[2:10]]
    assert stages == ["base", "rainbow-teaming", "translate", "respond", "label", "split", "dpo", "eval"]
    assert "Nothing is missing on this machine." in result.output
    assert "GPU hours: " not in result.output


def test_a_large_run_says_what_it_takes_and_what_is_missing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = planned("--profile", "llama-8b", "--machine", "h100x8")
    assert result.exit_code == 1
    assert "141 GB will be fetched" in result.output
    assert "Missing: 8 GPUs are asked for, this machine has none; " in result.output
    assert "Missing: models.gpt-4o-mini: the environment variable OPENAI_API_KEY holds no key; " in result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line}
    assert "llama-guard-3 3.27M, polyguard 3.27M" in lines["label"]
    assert "gpt-4o-mini" in lines["eval"] and "gpt-4o-mini" not in lines["label"]
    assert "train.benign_share has no effect" in result.output
    assert "* GPU hours: arithmetic, not measured; " in result.output
    monkeypatch.setattr(found, "gpus", lambda: [80.0] * 8)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    result = planned("--profile", "llama-8b", "--machine", "h100x8")
    assert (result.exit_code, "Missing" in result.output) == (0, False)
    assert "secret" not in result.output


def test_models_of_others_are_among_those_that_are_asked(here: Path) -> None:
    params = yaml.safe_load((here / "params.yaml").read_text(encoding="utf-8"))
    others = {"far": {"repo": "org/name-8b"}, "near": {"folder": "no/such/place"}, "ours": {"folder": str(here / "x")}}
    params["eval"]["models"] = others
    (here / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (here / "x").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (here / "x" / name).touch()
    result = planned()
    assert result.exit_code == 1
    lines = {line.split()[0]: line for line in result.output.splitlines() if line}
    assert "org/name-8b at its newest commit; 16 GB will be fetched" in lines["eval.models.far"]
    assert lines["eval.models.ours"].endswith(str(here / "x"))
    assert "Missing: eval.models.near: no/such/place: holds no *.safetensors; " in result.output


@pytest.mark.parametrize(
    ("option", "expected"), [("--profile", "profile must be one of"), ("--machine", "must be one of")]
)
def test_an_unknown_file_is_one_sentence(option: str, expected: str, here: Path) -> None:
    result = planned(option, "none-such")
    assert result.exit_code == 1 and result.output.startswith("Error: ") and expected in result.output


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "–"), (999, "999"), (9_999, "9,999"), (10_000, "10k"), (1_234_567, "1.23M"), (5_360_000_000, "5.36G")],
)
def test_numbers_are_short(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(None, "–"), (0.04, "0.0"), (9.94, "9.9"), (10.2, "10"), (1234.5, "1,234")]
)
def test_hours_are_short(number: float | None, text: str) -> None:
    assert hours(number) == text
