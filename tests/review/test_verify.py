"""A run beside the last commit, in repositories of a few literal files."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from refuseu.commands import verify as command
from refuseu.core.files import write_json
from refuseu.core.locked import md5
from refuseu.eval.estimated import differences
from refuseu.results.outcomes import COLUMNS, with_derived, write_outcomes
from refuseu.review.locked import OUTCOMES, _md5_of_folder
from refuseu.review.verify import numbers

LANGUAGES = ["pl", "cs", "sk", "sl", "lt", "lv", "de", "fr"]


@cache
def outcomes(*bad: int, custom: int = 60) -> pd.DataFrame:
    """Of 140 questions ``balanced`` answers so many badly in each language (10 where not said), and ``custom`` as many in all."""
    counts = [*bad, *[10] * (len(LANGUAGES) - len(bad))]
    questions = pd.DataFrame({"question_id": [f"q{number}" for number in range(140)], "kind": "harmful", "rate": "asr"})
    parts = [
        questions.assign(model=model, seed=seed, lang=lang, outcome=(questions.index < count).astype(float))
        for seed in (0, 1)
        for model, own in (("balanced", counts), ("custom", [custom] * len(LANGUAGES)))
        for lang, count in zip(LANGUAGES, own, strict=True)
    ]
    found = pd.concat(parts, ignore_index=True)
    return found.assign(behavior_id=found["question_id"]).reindex(columns=COLUMNS)


def made(found: pd.DataFrame, loss: float = 0.5, category: float = 10.0) -> None:
    """The results of a run, with their dvc.lock."""
    write_outcomes(found, OUTCOMES)
    write_json(differences(with_derived(found), "balanced", 0.95), Path("plots/eval/differences.json"))
    by_category = [
        {"model": "balanced", "category": "S1", "asr": category, "asr_low": category - 4, "asr_high": category + 4}
    ]
    write_json(by_category, Path("plots/eval/by-category.json"))
    write_json([{"step": step, "loss": loss / step} for step in (1, 2)], Path("plots/dpo/balanced/0.json"))
    write_json({"rows_in": 10, "rows_out": 10}, Path("metrics/split.json"))
    Path("plots/eval.json").write_text("[]\n")
    folder = Path("plots/eval")
    outs = [
        {"path": "plots/eval", "md5": _md5_of_folder(None, folder)},
        {"path": "data/eval", "md5": md5(OUTCOMES.read_bytes())},
    ]
    ran = {"params.yaml": {"train.seeds": [0, 1, 2]}}
    lock = {"schema": "2.0", "stages": {"eval": {"cmd": "stages/run eval", "params": ran, "outs": outs}}}
    Path("dvc.lock").write_text(f"{json.dumps(lock)}\n")


def typed(*arguments: str) -> None:
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], env={**os.environ, **names}, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a subfolder of its repository, and as it was committed."""
    root = tmp_path / "below"
    (root / "profiles").mkdir(parents=True)
    monkeypatch.chdir(root)
    Path("params.yaml").write_text("profile: small\ntrain:\n  configs:\n    balanced: {}\n    custom: {}\n")
    Path("profiles/small.yaml").write_text("dpo: {beta: 1}\n")
    made(outcomes())
    typed("init", "-q", "-b", "main", str(tmp_path))
    typed("add", "-A")
    typed("commit", "-qm", "results")
    return root


def verified() -> Result:
    result = CliRunner().invoke(command.main)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_same_bytes(project: Path) -> None:
    made(outcomes())
    result = verified()
    assert (result.output, result.exit_code) == ("The same bytes in all 6 files as in the last commit.\n", 0)


def test_other_bytes_and_the_same_conclusions(project: Path) -> None:
    """As after the run of another maker's processor: a few answers, and the last bits of a loss."""
    made(outcomes(11, 10, 9, 10, custom=61), loss=0.5004)
    result = verified()
    assert result.exit_code == 0
    first, *others = result.output.splitlines()
    assert first.startswith("This run and the last commit differ in 3 of 6 files and in no conclusion (checked: ")
    assert first.endswith(
        "(checked: 4 averages, of the models that answer otherwise, and 1 of plots/eval/differences.json)."
    )
    assert others == ["Outputs of DVC with other bytes: data/eval"]


def test_a_conclusion_that_differs_is_named_and_fails(project: Path) -> None:
    made(outcomes(*[60] * 8))
    result = verified()
    assert result.exit_code == 1
    first, *others = result.output.splitlines()
    assert "differ in 2 of 6 files and in 2 conclusions" in first
    assert "  balanced, ASR on average: 7.1 -> 42.9" in others
    assert "  asr: custom beside balanced: higher -> not told apart" in others


def test_one_language_is_named_and_decides_nothing(project: Path) -> None:
    made(outcomes(22))
    result = verified()
    assert result.exit_code == 0 and "in no conclusion" in result.output
    assert "Moved far, and no conclusion:\n  balanced, ASR in pl: 7.1 -> 15.7\n" in result.output


def test_a_number_is_far_outside_its_interval_or_by_more_than_the_tolerance(project: Path) -> None:
    made(outcomes(), loss=0.52, category=13.9)
    assert "Moved far" not in verified().output
    made(outcomes(), loss=0.6, category=14.1)
    output = verified().output
    assert "  plots/eval/by-category.json: balanced, S1, asr: 10 -> 14.1\n" in output
    assert "  plots/dpo/balanced/0.json: 1, loss: 0.5 -> 0.6\n" in output
    assert "in no conclusion" in output


def test_missing_files_are_not_verified(project: Path) -> None:
    Path("metrics/split.json").unlink()
    result = verified()
    assert result.exit_code == 1
    assert result.output.startswith(
        "1 of 6 committed files are missing here, first metrics/split.json; 'make repro' makes them"
    )


@pytest.mark.parametrize(
    ("path", "before", "after", "said"),
    [
        ("params.yaml", "custom: {}", "custom: {benign_share: 0.5}", "train.configs.custom"),
        ("profiles/small.yaml", "beta: 1", "beta: 2", "dpo.beta: 1 → 2"),
        ("dvc.lock", "[0, 1, 2]", "[0]", "eval: params.yaml: train.seeds, as dvc.lock has it"),
    ],
)
def test_results_of_other_parameters_are_not_compared(
    path: str, before: str, after: str, said: str, project: Path
) -> None:
    Path(path).write_text(Path(path).read_text().replace(before, after))
    Path("metrics/split.json").unlink()
    result = verified()
    assert result.exit_code == 0
    assert result.output.startswith(
        "These results are of other parameters than the last commit's, so nothing is compared: "
    )
    assert said in result.output


def test_another_profile_is_other_parameters(project: Path) -> None:
    Path("profiles/large.yaml").write_text("dpo: {beta: 1}\n")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("small", "large"))
    assert "nothing is compared: profile: small → large" in verified().output


def test_without_committed_outcomes_nobody_can_tell(project: Path) -> None:
    typed("rm", "-q", "--cached", "plots/eval/outcomes.json")
    typed("commit", "-qm", "older")
    made(outcomes(11))
    result = verified()
    assert result.exit_code == 1 and "so nobody can tell noise from a change" in result.output


def test_without_a_commit_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed("init", "-q")
    result = CliRunner().invoke(command.main)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith("Error: verify: there is no commit to compare with")


def test_a_number_is_named_by_what_it_is_of() -> None:
    content = [
        {"model": "m", "seed": 1, "asr": 2.0, "deeper": {"x": 3}, "flag": True},
        {"model": "m", "seed": 2, "asr": None},
    ]
    assert dict(numbers(content)) == {
        ("m", "1", "seed"): 1.0,
        ("m", "1", "asr"): 2.0,
        ("m", "1", "deeper", "x"): 3.0,
        ("m", "2", "seed"): 2.0,
    }
