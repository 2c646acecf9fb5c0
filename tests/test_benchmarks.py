"""The benchmarks at small sizes: both ways that are compared find the same."""

import json
from pathlib import Path

import pandas as pd
import pytest
from repository import ROOT

from refuseu.core.schema import read_table
from refuseu.experiment import LANGUAGES
from refuseu.label.labelling import VERDICT
from refuseu.tables.schemas import LABELLED, PAIR

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)


def test_both_ways_find_the_same_pairs() -> None:
    from cases import near_by_filters, near_by_product

    found = near_by_filters(400)()
    assert found == near_by_product(400)() > 400
    assert near_by_filters(0)() == 0


def test_both_ways_find_the_same_rows() -> None:
    from cases import fill, find_at_once, find_one_by_one

    fill(50)()
    assert find_at_once(50)() == find_one_by_one(50)() == 50


@pytest.fixture
def answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """Writes pairs for the stages, next to the repository's parameters and texts; returns how many."""
    from cases import pairs

    for name in ("params.yaml", "profiles", "machines", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    pairs(60 * len(LANGUAGES))()
    return 60 * len(LANGUAGES)


def test_the_stage_label_keeps_all_that_its_judges_are_told_to_keep(answered: int) -> None:
    from cases import FOLDER, label

    label(answered)()
    made = read_table(FOLDER / f"pairs-{answered}.parquet", PAIR)
    labelled = read_table(FOLDER / "label" / "pairs.parquet", LABELLED)
    pd.testing.assert_frame_equal(labelled, made.assign(accepted=True, complied=True))
    assert json.loads((FOLDER / "label.json").read_text())["acceptance"] == 100
    assert len(read_table(FOLDER / "label" / "verdicts.parquet", VERDICT)) == 9 * answered


def test_the_stage_split_uses_all_groups(answered: int) -> None:
    from cases import FOLDER, split

    split(answered)()
    account = json.loads((FOLDER / "split.json").read_text())
    assert (account["rows_in"], account["groups"]) == (answered, 30)
    assert account["mixes"]["balanced-no-benign"]["rows"] == account["parts"]["train"]["rows"] // 2


def test_pairs_are_as_long_as_real_answers_and_say_what_they_are() -> None:
    from texts import pairs

    first, second = pairs(6, ["lv", "de"], ["slang"], batch=4)
    assert [len(first), len(second)] == [8, 4]
    assert first[["question_id", "lang"]].to_numpy().tolist()[:3] == [
        ["q0000000", "de"],
        ["q0000000", "lv"],
        ["q0000001", "de"],
    ]
    harmful, benign = second.iloc[0], second.iloc[3]
    assert (harmful["kind"], benign["kind"]) == ("harmful", "benign")
    assert harmful["text"].endswith(" harmful de")
    assert harmful["chosen"].endswith(" refusal de")
    assert benign["rejected"].endswith(" refusal lv")
    assert first["question_id"].nunique() + second["question_id"].nunique() == 6


def test_answers_are_as_long_as_those_of_real_models() -> None:
    from texts import pairs

    for batch in pairs(200, ["de"], ["slang"]):
        assert 590 < batch["chosen"].str.len().mean() < 650
        assert 1450 < batch["rejected"].str.len().mean() < 1600


def test_texts_follow_from_the_seed() -> None:
    from texts import questions

    assert list(questions(5)) == list(questions(9))[:5]
    assert list(questions(5)) != list(questions(5, seed=1))


def test_a_ratio_stands_beside_ours_where_both_were_measured() -> None:
    from run import table

    rows = [
        {"case": "near_by_product", "rows": 1000, "seconds": 3.0, "megabytes": 500},
        {"case": "near_by_filters", "rows": 1000, "seconds": 0.5, "megabytes": 200},
        {"case": "near_by_filters", "rows": 2000, "seconds": 0.0, "megabytes": 1200},
    ]
    assert table(rows).splitlines()[2:] == [
        "| near_by_product | 1,000 | 3.00 | 500 |  |  |",
        "| near_by_filters | 1,000 | 0.50 | 200 | 6.0 | 2.5 |",
        "| near_by_filters | 2,000 | 0.00 | 1,200 |  |  |",
    ]
