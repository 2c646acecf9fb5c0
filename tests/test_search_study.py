"""The comparison of biased with uniform sampling of cells, on curves that are known and on a small search."""

import math
from pathlib import Path

import pandas as pd
import pytest
from conftest import CATEGORIES, LANGUAGES, STYLES
from repository import ROOT

from refuseu.base.resistance import Resistance, read_table
from refuseu.judges.ngrams import NgramJudge
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.settings import RainbowTeaming

TABLE = ROOT / "data/base/resistance.yaml"
ROLES = {"mutator": "phrasebook", "twin": "phrasebook", "scorer": "ngrams", "preference": "ngrams"}
NUMBERS = {"temperature": 0.1, "max_bleu": 0.6, "elites_per_cell": 1, "max_new_tokens": 1}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def curves_of(gains: dict[int, float]) -> pd.DataFrame:
    """Curves that rise by 0.01 a call; those of biased sampling are higher by ``gains`` (by seed), with shorter iterations."""
    rows = [
        {"target": "as the base", "sampling": sampling, "seed": seed, "calls": calls, "qd_score": 0.01 * calls + gain}
        for seed, value in gains.items()
        for sampling, gain, every in (("biased", value, 30), ("uniform", 0.0, 50))
        for calls in range(every, 301, every)
    ]
    return pd.DataFrame(rows)


def test_searches_are_compared_at_equal_calls_in_pairs_of_a_seed() -> None:
    from search_study import compared

    row = compared(curves_of({0: 1.0, 1: 2.0, 2: 3.0}), [100, 200], "qd_score").loc[("as the base", 200)]
    assert (row.biased, row.uniform, row.difference) == pytest.approx((4.0, 2.0, 2.0))
    # Student's t with 2 degrees of freedom is 4.3027, and the standard error 1 / sqrt(3).
    assert (row.low, row.high) == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-4)


def test_a_study_asks_two_targets_by_both_samplings(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    from search_study import MEASURES, Study, draw, markdown

    assert (LANGUAGES[0], len(CATEGORIES), len(STYLES)) == ("en", 2, 2)
    settings = RainbowTeaming.model_validate(
        {**{role: {"kind": kind} for role, kind in ROLES.items()}, **NUMBERS, "iterations": 3, "mutations": 4}
    )
    study = Study(books["en"], NgramJudge(books), settings, TABLE)
    curves = study.run(2)
    assert len(curves) == 2 * 2 * 2 * 3
    assert curves.equals(study.run(2))
    assert curves.groupby(["target", "sampling", "seed"])["calls"].max().between(3, 12).all()
    lines = markdown(curves, [2, 4]).splitlines()
    assert len(lines) == 2 + 2 * 2
    assert {line.count("|") for line in lines} == {3 + 2 * len(MEASURES)}
    draw(curves, tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 10_000


def test_the_target_answers_by_the_table(books: dict[str, Phrasebook]) -> None:
    from search_study import TableTarget

    book, resistance = books["en"], Resistance(read_table(TABLE), books["en"], 1)
    target = TableTarget(resistance)
    questions = [
        template.replace("{behavior}", text)
        for text, behavior in book.named_behaviors.items()
        for style, _, template in book.frames()
        if behavior.kind == "harmful" and style != "plain"
    ]
    answered = [answer in book.compliances.harmful for answer in target(questions)]
    assert answered == [resistance.complies("en", reading) for reading in map(book.parse, questions) if reading]
    assert len(set(answered)) == 2
    assert target.asked == len(questions)
