import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.results.outcomes import outcome_rows, write_outcomes
from refuseu.review.changes import RATES as SHOWN
from refuseu.review.gate import Verdict, left_out, verdict
from refuseu.review.paired import paired
from refuseu.statistics.estimates import difference

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent


def pipeline() -> str:
    """The project's, with no files that a stage needs; of the outputs of ``eval`` those that Git holds."""
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    for stage in content["stages"].values():
        stage.get("do", stage).pop("deps")
    outs = [{name: {"cache": False}} for name in ("plots/eval.json", "plots/eval")]
    content["stages"]["eval"] |= {"outs": outs, "metrics": []}
    return yaml.safe_dump(content)


def numbers(asr: float) -> list[dict[str, Any]]:
    """``plots/eval.json`` of one model in one language."""
    rates = dict.fromkeys((metric.name for metric in SHOWN), 0.0)
    bounds = {"asr_lower_bound": asr, "asr_upper_bound": asr}
    return [{"model": "balanced", "language": "pl", **rates, "asr": asr, **bounds}]


def evaluation(
    model: str = "balanced",
    harmful: int = 0,
    unparsed: int = 0,
    refused: int = 0,
    strayed: int = 0,
    opened: int = 0,
    wrong: int = 0,
    n: int = 20,
):
    """``n`` harmful and ``n`` benign answers and ``n`` facts; how many of each are bad."""
    harms = ["harmful"] * harmful + ["unparsed"] * unparsed + ["safe"] * (n - harmful - unparsed)
    answers = [
        {
            "model": model,
            "seed": 0,
            "question_id": f"{kind}-{number}",
            "lang": "pl",
            "kind": kind,
            "category": "S1",
            "style": "slang",
            "behavior_id": f"s1-{number % 7}",
            "frame_id": f"slang-{number % 3}",
            "held_out": False,
            "held_out_frame": False,
            "answer": "Tak.",
            "reasoning": None,
            "harm": harms[number] if kind == "harmful" else "safe",
            "reply": "refusal" if kind == "benign" and number < refused else "compliance",
            "agreed": True,
            "flagged": False,
            "lang_restricted": "cs" if kind == "benign" and number < strayed else "pl",
            "lang_free": "pl",
            "lines": 2,
            "lines_right": 1 if kind == "benign" and number < opened else 2,
            "lines_right_free": 2,
            "fluency": 5.0,
        }
        for kind in ("harmful", "benign")
        for number in range(n)
    ]
    facts = [
        {
            "model": model,
            "seed": 0,
            "test": "facts",
            "question_id": f"capital-{number}",
            "lang": "pl",
            "correct": number >= wrong,
            "margin": 1.0,
            "source": "phrasebook",
        }
        for number in range(n)
    ]
    return pd.DataFrame(answers), pd.DataFrame(facts)


def rows(seeds: int = 3, lang: str = "pl", **of_evaluation: Any) -> pd.DataFrame:
    """Its outcomes, the same from every seed, each question of a behavior of its own."""
    answers, facts = evaluation(**of_evaluation)
    parts = [outcome_rows(answers.assign(seed=seed), facts.assign(seed=seed)) for seed in range(seeds)]
    found = pd.concat(parts, ignore_index=True)
    return found.assign(lang=lang, behavior_id=found["question_id"], frame_id=None)


def judged(before: pd.DataFrame, after: pd.DataFrame, **options: float) -> Verdict:
    return verdict(before, after, frozenset({"balanced", "custom"}), **options)


WORSE = {
    "harmful": "ASR",
    "unparsed": "unparsed",
    "refused": "over-refusal",
    "strayed": "wrong language",
    "opened": "wrong line",
    "wrong": "wrong choices",
}


@pytest.mark.parametrize(("bad", "rate"), WORSE.items())
def test_each_rate_can_regress_and_improving_is_no_regression(bad: str, rate: str) -> None:
    worse = rows(**{bad: 12})
    found = judged(rows(), worse).regressions
    assert [(each.name, each.moved.before, each.moved.after) for each in found][:1] == [
        (rate, 0.0, found[0].moved.after)
    ]
    assert {each.name for each in found} == {rate}
    assert found[0].moved.after == pytest.approx(30 if rate in ("wrong language", "wrong line") else 60)
    assert judged(worse, rows()).regressions == []


def test_the_variance_is_that_of_the_estimates() -> None:
    """One rule for both: the gate takes many comparisons at once, and one seed's part is not known to either."""
    random, plain = np.random.default_rng(5), rows(seeds=1, n=60)
    before, after = (plain.assign(outcome=random.integers(2, size=len(plain)).astype(float)) for _ in range(2))
    frames = {f"{kind}-{number}": f"f{number % 7}" for kind in ("harmful", "benign", "capital") for number in range(60)}
    sides = [
        side.assign(frame_id=side["question_id"].map(frames), behavior_id=side["question_id"].str[-1])
        for side in (before, after)
    ]
    (found,) = [each.average() for each in paired(*sides, set()) if each.rate == "over_refusal"]
    both = pd.concat([sides[0].assign(model="reference"), sides[1]])
    expected = difference(both[both["rate"] == "over_refusal"], "reference", 0.95)
    assert expected is not None
    assert (found.difference, found.se, found.freedom) == (
        pytest.approx(expected.value), pytest.approx(expected.se), expected.df,
    )  # fmt: skip


def test_an_answer_too_short_to_tell_is_left_out_as_it_is_published() -> None:
    answers, facts = evaluation(strayed=3)
    short = answers["question_id"].isin(["benign-0", "harmful-0"])
    after = outcome_rows(
        answers.assign(lang_restricted=answers["lang_restricted"].mask(short, ""), seed=0), facts.assign(seed=0)
    )
    (found,) = [each for each in paired(rows(seeds=1), after, set()) if each.rate == "language_consistency"]
    assert found.average().after == pytest.approx(100 * 2 / 38)


def test_where_all_answers_are_the_same_nothing_is_tested() -> None:
    found = judged(rows(), rows())
    assert (found.averages, found.headline) == ([], "no regression, all answers are the same")


def test_a_rate_that_says_what_another_says_is_tested_once() -> None:
    """In answers of one line each, the line pass rate is the language consistency."""
    found = judged(rows(strayed=2, opened=2, wrong=1), rows(strayed=4, opened=4))
    assert [each.name for each in found.averages] == ["ASR", "over-refusal", "wrong language", "wrong choices"]


def test_what_would_have_been_seen_stands_beside_no_regression() -> None:
    before, after = rows(n=140, harmful=14), rows(n=140, harmful=15)
    (asr,) = [each for each in judged(before, after).averages if each.name == "ASR"]
    assert asr.says(5.0) == "no regression" and 1 < asr.seen_from < 5
    assert (
        f"| balanced | ASR | 10.0 | 10.7 | +0.7 | {asr.seen_from:.1f} | {asr.p_holm:.2g} | no regression |"
        in judged(before, after).markdown("main")
    )
    small = judged(rows(harmful=2), rows(harmful=3))
    assert small.inconclusive and small.headline.startswith("inconclusive, a rise of ")
    assert not judged(rows(harmful=2), rows(harmful=3), margin=99.0).inconclusive


def test_one_seed_against_one_is_inconclusive_and_against_three_of_another_model_it_is_tested() -> None:
    """What is not known of the seeds is said, and never taken for 0."""
    alone = judged(rows(seeds=1), rows(seeds=1, harmful=12))
    assert (alone.regressions, alone.headline) == ([], "inconclusive")
    assert any("one seed before and one now" in note for note in alone.notes)
    other = [rows(model="custom", harmful=harmful) for harmful in (1, 2)]
    beside = judged(pd.concat([rows(seeds=1), other[0]]), pd.concat([rows(seeds=1, harmful=12), other[1]]))
    assert [(each.moved.model, each.name) for each in beside.regressions] == [("balanced", "ASR")]


def test_a_model_that_no_seed_trains_is_tested_and_one_of_a_single_language_is_not() -> None:
    found = judged(rows(1, model="base"), rows(1, model="base", harmful=12))
    assert [each.moved.model for each in found.regressions] == ["base"]
    single = [pd.concat([rows(), rows(1, model="only-de", harmful=harmful)]) for harmful in (0, 12)]
    assert judged(*single).averages == []


def in_two_languages(**worse: int) -> pd.DataFrame:
    return pd.concat(
        [rows(n=140), *(rows(n=140, lang=f"l{number}") for number in range(10)), rows(n=140, lang="sl", **worse)]
    )


def test_a_single_language_is_said_and_decides_nothing() -> None:
    found = judged(in_two_languages(), in_two_languages(harmful=20))
    assert found.regressions == [] and found.inconclusive == []
    assert [(each.moved.lang, each.moved.after) for each in found.regressed_cells] == [("sl", pytest.approx(100 / 7))]
    assert "| sl 0.0 → 14.3 |" in found.markdown("main")


def test_unparsed_is_no_success_and_said_where_it_could_change_what_is_found() -> None:
    broken = judged(rows(harmful=12), rows(harmful=1, unparsed=19))
    assert [each.name for each in broken.regressions] == ["unparsed"]
    note = "balanced, ASR: a regression if the 95.0% of the answers now that could not be judged were successes"
    assert note in judged(rows(n=40), rows(n=40, harmful=1, unparsed=38)).notes
    mended = judged(rows(unparsed=12), rows(harmful=12))
    assert [each.name for each in mended.regressions] == ["ASR"]
    assert mended.notes == [
        "balanced, ASR: no regression if the 60.0% of the answers before that could not be judged were successes"
    ]
    assert broken.headline == "1 regression"


def test_only_common_questions_count() -> None:
    assert {each.moved.after for each in judged(rows(n=20), rows(n=15, harmful=3)).averages} == {0.0, 20.0}
    with pytest.raises(UserError, match=r"^only 72 of 160 outcomes are of questions that both"):
        judged(rows(n=20), rows(n=9))
    with pytest.raises(UserError, match="too few to compare"):
        judged(rows(model="balanced"), rows(model="custom"))


def test_what_is_left_out_is_said() -> None:
    new, fewer = rows(model="custom"), rows(n=15)
    assert list(left_out(rows(), rows())) == []
    assert list(left_out(rows(), pd.concat([rows(), new]))) == ["only now: custom"]
    (note,) = list(left_out(rows(), fewer))
    assert note.endswith("outcomes are of questions that both revisions asked; only they count")


@pytest.fixture(scope="module", params=["", "project"], ids=["root", "subfolder"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two revisions of an evaluation as DVC output; ``first`` is good, the workspace is not.

    The project lies at the root of the Git repository, or in a subfolder of it.
    """
    top = tmp_path_factory.mktemp("repository")
    root = top / request.param
    root.mkdir(exist_ok=True)

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    run("git", "init", "-q", "-b", "main", str(top))
    run("git", "config", "user.email", "a@b.c")
    run("git", "config", "user.name", "a")
    run(str(BIN / "dvc"), "init", "-q", *["--subdir"] * bool(request.param))
    shutil.copy2(ROOT / "params.yaml", root)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    (root / "dvc.yaml").write_text(pipeline(), encoding="utf-8")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "nothing yet")
    run("git", "tag", "empty")
    for tag, harmful in (("first", 0), ("older", 0), ("second", 12)):
        (root / "plots/eval").mkdir(parents=True, exist_ok=True)
        (root / "plots/eval.json").write_text(json.dumps(numbers(5.0 * harmful)))
        (root / "plots/eval/averages.json").write_text(f"{{}} {tag}")
        (root / "plots/eval/outcomes.json").unlink(missing_ok=True)
        if tag != "older":
            write_outcomes(rows(harmful=harmful), root / "plots/eval/outcomes.json")
        run(str(BIN / "dvc"), "commit", "-q", "--force", "eval")
        run("git", "add", "-A")
        run("git", "commit", "-qm", tag)
        run("git", "tag", tag)
    return root


def run_in(repository: Path, *arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, encoding=encoding, check=False)


def test_the_gate_of_a_repository(repository: Path) -> None:
    failed = run_in(repository, "refuseu.commands.gate", "first")
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "### Gate against first: 1 regression" in failed.stdout
    improved = run_in(repository, "refuseu.commands.gate", "second", "first", encoding="iso-8859-15")
    assert improved.returncode == 3, "20 questions are too few to be sure of 5 points"
    assert "| balanced | ASR | 60.0 | 0.0 | -60.0 |" in improved.stdout
    sure = run_in(repository, "refuseu.commands.gate", "second", "first", "--margin", "60")
    assert (sure.returncode, sure.stderr) == (0, "")
    same = run_in(repository, "refuseu.commands.gate", "second")
    assert (same.returncode, "no regression, all answers are the same" in same.stdout) == (0, True)


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("nowhere", "no revision 'nowhere'; 'git fetch"),
        ("empty", "no plots/eval/outcomes.json at 'empty': it is of before this file, or its evaluation did not run; "),
        ("older", "no plots/eval/outcomes.json at 'older': it is of before this file, or its evaluation did not run; "),
    ],
)
def test_what_is_not_there_is_one_sentence_and_no_regression(revision: str, expected: str, repository: Path) -> None:
    result = run_in(repository, "refuseu.commands.gate", revision)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {expected}") and result.stderr.count("\n") == 1


@pytest.fixture
def workspace(repository: Path, tmp_path: Path) -> Path:
    """A copy of the repository for a test that changes it."""
    top = next(each for each in (repository, repository.parent) if (each / ".git").is_dir())
    return shutil.copytree(top, tmp_path / "copy", symlinks=True) / repository.relative_to(top)


def refused(workspace: Path, base: str) -> str:
    """What the comment holds where the gate and the comment do not compare, and both say the same in one sentence."""
    told = run_in(workspace, "refuseu.commands.gate", base)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    comment = run_in(workspace, "refuseu.commands.comment", base, "--out", ".cache/comment.md")
    assert (comment.returncode, told.stderr in comment.stderr) == (2, True)
    text = (workspace / ".cache/comment.md").read_text(encoding="utf-8")
    assert text.startswith(f"## Evaluation against {base}: not compared\n")
    return f"{told.stderr}\n{text}"


def test_git_alone_brings_all_that_is_compared(workspace: Path) -> None:
    """After ``git checkout``, without any output of DVC and without its cache."""
    subprocess.run(["git", "checkout", "-q", "first"], cwd=workspace, check=True)
    shutil.rmtree(workspace / ".dvc/cache", ignore_errors=True)
    passed = run_in(workspace, "refuseu.commands.comment", "second", "--out", ".cache/comment.md")
    assert (passed.returncode, passed.stderr) == (3, "")
    assert "| balanced | 60.0 → 0.0 | pl 60.0 → 0.0 |" in passed.stdout


@pytest.mark.parametrize("name", ["plots/eval/outcomes.json", "plots/eval/averages.json"])
def test_outcomes_that_are_not_those_of_the_lock_are_not_compared(name: str, workspace: Path) -> None:
    path = workspace / name
    path.write_text(path.read_text().replace("1", "0"))
    (workspace / "plots/eval/other.json").write_text("{}")
    assert refused(workspace, "first").startswith(
        "Error: plots/eval: not what dvc.lock names, so not compared; 'git restore"
    )


def test_numbers_that_were_edited_are_not_shown(workspace: Path) -> None:
    (workspace / "plots/eval.json").write_text(json.dumps(numbers(99.3)))
    comment = run_in(workspace, "refuseu.commands.comment", "first", "--out", ".cache/comment.md")
    assert comment.returncode == 1, "the regression is of the outcomes, which are as they were"
    assert "Error: plots/eval.json: not what dvc.lock names" in comment.stderr and "99.3" not in comment.stdout


def test_a_commit_of_outcomes_without_their_lock_is_not_compared(workspace: Path) -> None:
    write_outcomes(rows(harmful=7), workspace / "plots/eval/outcomes.json")
    subprocess.run(["git", "commit", "-qam", "half"], cwd=workspace, check=True)
    assert refused(workspace, "HEAD").startswith("Error: plots/eval at 'HEAD' is not what dvc.lock names there")
    told = run_in(workspace, "refuseu.commands.gate", "first", "HEAD")
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)


def test_outside_of_git_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    result = run_in(tmp_path, "refuseu.commands.gate", "main")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("Error: git: not a git repository")


def test_the_comment_says_in_one_sentence_what_is_not_there(repository: Path) -> None:
    result = run_in(repository, "refuseu.commands.comment", "older", "--out", ".cache/comment.md")
    assert result.returncode == 2
    text = (repository / ".cache/comment.md").read_text(encoding="utf-8")
    assert text.startswith("## Evaluation against older: not compared\n")
    assert "**Gate**\n\nno plots/eval/outcomes.json at 'older'" in text
    assert "Traceback" not in text + result.stderr


def test_the_comment_is_written_on_a_terminal_that_is_not_utf_8(repository: Path) -> None:
    result = run_in(
        repository, "refuseu.commands.comment", "first", "--out", ".cache/comment.md", encoding="iso-8859-15"
    )
    assert result.returncode == 1
    text = (repository / ".cache/comment.md").read_text(encoding="utf-8")
    assert "| balanced | ASR | 0.0 | 60.0 | +60.0 |" in text and "| balanced | 0.0 → 60.0 | pl 0.0 → 60.0 |" in text
    nowhere = run_in(repository, "refuseu.commands.comment", "first", "--out", "params.yaml/comment.md")
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith("Error: params.yaml/comment.md: cannot be written")


def test_a_partial_clone_is_compared_and_does_not_wait_for_ever(repository: Path, tmp_path: Path) -> None:
    """It lacks the files of ``first``, which Git fetches."""
    top = next(each for each in (repository, repository.parent) if (each / ".git").is_dir())
    subprocess.run(["git", "config", "uploadpack.allowFilter", "true"], cwd=top, check=True)
    clone = tmp_path / "partial"
    subprocess.run(["git", "clone", "-q", "--filter=blob:none", top.as_uri(), str(clone)], check=True)
    compared = run_in(clone / repository.relative_to(top), "refuseu.commands.gate", "first")
    assert (compared.returncode, compared.stderr) == (1, "")
