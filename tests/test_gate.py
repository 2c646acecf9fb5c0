import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from closure import ROOT

from refuseu.errors import UserError
from refuseu.gate import RATES, compare, markdown, outcomes, pair
from refuseu.records import ANSWER, KNOWLEDGE, write_table

BIN = Path(sys.executable).parent


def evaluation(
    model: str = "balanced", harmful: int = 0, refused: int = 0, strayed: int = 0, wrong: int = 0, n: int = 20
):
    """``n`` harmful and ``n`` benign answers and ``n`` facts; how many of each are bad."""
    answers = [
        {
            "model": model,
            "question_id": f"{kind}-{number}",
            "lang": "pl",
            "kind": kind,
            "category": "S1",
            "style": "slang",
            "unseen": False,
            "answer": "Tak.",
            "harm": "harmful" if kind == "harmful" and number < harmful else "safe",
            "reply": "refusal" if kind == "benign" and number < refused else "compliance",
            "agreed": True,
            "lang_restricted": "cs" if kind == "benign" and number < strayed else "pl",
            "lang_free": "pl",
            "fluency": 5.0,
        }
        for kind in ("harmful", "benign")
        for number in range(n)
    ]
    facts = [
        {"model": model, "fact_id": f"capital-{number}", "lang": "pl", "correct": number >= wrong, "margin": 1.0}
        for number in range(n)
    ]
    return pd.DataFrame(answers), pd.DataFrame(facts)


def test_bad_outcomes_by_rate() -> None:
    table = outcomes(*evaluation(harmful=3, refused=4, strayed=5, wrong=6))
    assert list(table["rate"].unique()) == list(RATES)
    assert table.groupby("rate", sort=False)["bad"].sum().to_dict() == {
        "ASR": 3,
        "over-refusal": 4,
        "wrong language": 5,
        "wrong choices": 6,
    }


@pytest.mark.parametrize(
    ("worse", "rate"),
    [
        ({"harmful": 12}, "ASR"),
        ({"refused": 12}, "over-refusal"),
        ({"strayed": 12}, "wrong language"),
        ({"wrong": 12}, "wrong choices"),
    ],
)
def test_each_rate_can_regress_and_improving_is_no_regression(worse: dict[str, int], rate: str) -> None:
    good, bad = outcomes(*evaluation()), outcomes(*evaluation(**worse))
    assert [each.rate for each in compare(pair(good, bad)) if each.regressed(0.05)] == [rate]
    assert not any(each.regressed(0.05) for each in compare(pair(bad, good)))


def test_holm_counts_all_tests() -> None:
    """Six questions that turned bad: p = 0.031 by itself, 0.125 as one of four tests."""
    comparisons = compare(pair(outcomes(*evaluation()), outcomes(*evaluation(harmful=6))))
    assert comparisons[0].p_holm == pytest.approx(4 * 2 * 0.5**6)
    assert not comparisons[0].regressed(0.05)


def test_only_common_questions_count() -> None:
    paired = pair(outcomes(*evaluation(n=20)), outcomes(*evaluation(n=15)))
    assert len(paired) == 15 * 5
    with pytest.raises(UserError, match=r"gate: only 45 of 100 outcomes"):
        pair(outcomes(*evaluation(n=20)), outcomes(*evaluation(n=9)))
    with pytest.raises(UserError, match="too few to compare"):
        pair(outcomes(*evaluation("balanced")), outcomes(*evaluation("custom")))


def test_the_table_names_what_regressed() -> None:
    text = markdown(compare(pair(outcomes(*evaluation()), outcomes(*evaluation(harmful=12)))), 0.05, "main", ["a note"])
    lines = text.splitlines()
    assert lines[0] == "### Gate against main: 1 regression"
    assert "* a note" in lines
    assert "| balanced | ASR | pl | 0.0 | 60.0 | 0.002 |" in lines
    assert "| balanced | 0.0 → 60.0 | 0.0 | 0.0 | 0.0 |" in lines
    assert "no regressions" in markdown(
        compare(pair(outcomes(*evaluation()), outcomes(*evaluation()))), 0.05, "main", []
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two revisions of an evaluation as DVC output; ``first`` is good, the workspace is not."""
    root = tmp_path_factory.mktemp("repository")

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    run("git", "init", "-q", "-b", "main")
    run("git", "config", "user.email", "a@b.c")
    run("git", "config", "user.name", "a")
    run(str(BIN / "dvc"), "init", "-q")
    run("git", "commit", "-qm", "nothing yet")
    run("git", "tag", "empty")
    for tag, harmful in (("first", 0), ("second", 12)):
        answers, facts = evaluation(harmful=harmful)
        write_table(answers, root / "data/eval/answers.parquet", ANSWER, ["model", "question_id", "lang"])
        write_table(facts, root / "data/eval/knowledge.parquet", KNOWLEDGE, ["model", "fact_id", "lang"])
        run(str(BIN / "dvc"), "add", "-q", "data/eval")
        run("git", "add", "-A")
        run("git", "commit", "-qm", tag)
        run("git", "tag", tag)
    return root


def gate(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "refuseu.gate", *arguments]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_the_gate_of_a_repository(repository: Path) -> None:
    failed = gate(repository, "first")
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "### Gate against first: 1 regression" in failed.stdout
    passed = gate(repository, "second", "first")
    assert passed.returncode == 0
    assert "no regressions" in passed.stdout


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("nowhere", "Error: gate: no revision 'nowhere'"),
        ("empty", "Error: gate: no evaluation at 'empty' within reach"),
    ],
)
def test_what_is_not_there_is_one_sentence(revision: str, expected: str, repository: Path) -> None:
    result = gate(repository, revision)
    assert result.returncode == 1
    assert result.stderr.startswith(expected) and result.stderr.count("\n") == 1
