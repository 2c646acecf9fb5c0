"""What the report says of how far its numbers can be believed follows from the numbers, by rule."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from evaluated import averages, row

from refuseu.report import belief
from refuseu.report.belief import (
    differences_table,
    search_said,
    sizes,
    sizes_table,
    spread_table,
    too_close,
    worst_cells_table,
)
from refuseu.results.outputs import DifferenceRow, Evaluation, SearchRow

MODELS = ["base", "balanced", "custom", "no-english"]


def less(model: str, rate: str, difference: float, noticed: float, told_apart: bool, **others: Any) -> DifferenceRow:
    known: dict[str, Any] = {
        "reference": "balanced",
        "low": difference - 1,
        "high": difference + 1,
        "p_holm": 0.01 if told_apart else 0.5,
        "seed_sd": 0.5,
    }
    return DifferenceRow.model_validate(
        {
            "model": model,
            "rate": rate,
            "difference": difference,
            "smallest_detectable": noticed,
            "told_apart": told_apart,
        }
        | known
        | others
    )


DIFFERENCES = [
    less("custom", "over_refusal", -0.4, 1.3, told_apart=False),
    less("base", "asr", 53.0, 4.0, told_apart=True, seed_sd=None),
    less("no-english", "asr", 2.0, 2.9, told_apart=False),
    less("only-pl", "asr", 40.0, 4.0, told_apart=True),
    less("custom", "knowledge", 0.2, 1.0, told_apart=False),
]


def test_headline_differences_stand_rate_after_rate_with_what_would_have_been_noticed() -> None:
    table = differences_table(DIFFERENCES, MODELS)
    assert table.rows == [
        ["base", "ASR", "+53.0", "[+52.0, +54.0]", "–", "4.0", "yes"],
        ["no-english", "ASR", "+2.0", "[+1.0, +3.0]", "0.5", "2.9", "no"],
        ["custom", "over-refusal", "-0.4", "[-1.4, +0.6]", "0.5", "1.3", "no"],
    ]
    assert table.notes == tuple(too_close(DIFFERENCES, MODELS))


def test_configs_closer_than_what_can_be_told_apart_are_called_so_in_words() -> None:
    assert list(too_close(DIFFERENCES, MODELS)) == [
        "**not told apart** from `balanced` in ASR: `no-english` (+2.0; from 2.9 on it would be noticed)",
        "**not told apart** from `balanced` in over-refusal: `custom` (-0.4; from 1.3 on it would be noticed)",
    ]
    assert list(too_close([less("custom", "asr", 9.0, 2.0, told_apart=True)], MODELS)) == []


def evaluation(**by_model: dict[str, float]) -> Evaluation:
    return Evaluation(
        {name: averages(50.0, **values) for name, values in by_model.items()},
        [row(name, "en", 50.0) for name in by_model],
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((99.4, 99.2), "idle, saturated"),  # all models alike, and no room above them
        ((80.0, 80.4), "idle"),
        ((99.5, 90.0), "saturated"),
        ((80.0, 60.0), "–"),
    ],
)
def test_a_rate_is_idle_or_saturated_by_its_numbers(values: tuple[float, float], said: str) -> None:
    found = evaluation(balanced={"knowledge": values[0]}, custom={"knowledge": values[1]})
    (line,) = spread_table(found, [less("custom", "knowledge", 0.2, 1.0, told_apart=False)]).rows
    assert (line[0], line[-2], line[-1]) == ("knowledge", "1.0", said)


def test_a_rate_that_is_better_low_is_saturated_near_zero() -> None:
    found = evaluation(balanced={"over_refusal": 0.3}, custom={"over_refusal": 9.0})
    (line,) = spread_table(found, [less("custom", "over_refusal", 8.7, 1.3, told_apart=True)]).rows
    assert line[-1] == "saturated"


def test_the_worst_cell_of_a_rate_is_that_of_any_trained_model_beside_the_bases() -> None:
    cells = [
        row("base", "en", 60.0),
        row("balanced", "en", 4.0),
        row("balanced", "pl", 7.0),
        row("custom", "pl", 30.0, 45.0),
    ]
    cells[2] = cells[2].model_copy(update={"over_refusal": 36.7})
    names = ("base", "balanced", "custom")
    table = worst_cells_table(Evaluation({name: averages(5.0) for name in names}, cells))
    found = {line[0]: line[1:] for line in table.rows}
    assert found["ASR"] == ["custom", "30.0–45.0 pl", "60.0 en"]
    assert found["over-refusal"] == ["balanced", "36.7 pl", "2.0 en"]
    assert "fluency" not in found  # nothing was measured


def iteration(number: int, coverage: float) -> SearchRow:
    return SearchRow(iteration=number, coverage=coverage, mean_fitness=0.5, qd_score=1, self_bleu=0.1, acceptance=0.2)


def test_coverage_is_called_idle_from_the_iteration_that_filled_the_archive() -> None:
    said = search_said([iteration(1, 0.5), iteration(2, 1.0), iteration(3, 1.0)])
    assert said is not None and said.startswith("The search filled every cell by iteration 2 of 3")
    assert search_said([iteration(1, 0.5), iteration(2, 1.0)]) is None
    assert search_said([iteration(1, 0.5)]) is search_said([]) is None


def outcomes(**columns: Any) -> pd.DataFrame:
    """Two languages and two seeds of four questions: two behaviors in two wordings, one of each unseen."""
    rows = [
        {
            "rate": "asr",
            "model": "balanced",
            "seed": seed,
            "lang": lang,
            "question_id": f"{behavior}-{frame}",
            "behavior_id": f"b{behavior}",
            "frame_id": f"f{frame}",
            "held_out": behavior == 1,
            "held_out_frame": frame == 1,
            "outcome": float((behavior + frame + seed) % 2),
        }
        for seed in (0, 1)
        for lang in ("en", "pl")
        for behavior in (0, 1)
        for frame in (0, 1)
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_sizes_count_what_an_average_rests_on() -> None:
    pytest.importorskip("refuseu.results.estimates")
    found = sizes(pd.concat([outcomes(), outcomes(model="custom"), outcomes(rate="over_refusal")]), "balanced", 0.95)
    assert [(each.part, each.questions, each.behaviors, each.frames, each.answers) for each in found] == [
        ("whole test", 4, 2, 2, 16),
        ("unseen behaviors", 2, 1, 2, 8),
        ("unseen wordings", 2, 2, 1, 8),
        ("unseen behaviors in unseen wordings", 1, 1, 1, 4),
    ]
    assert {(each.languages, each.seeds) for each in found} == {(2, 2)}
    unknown = sizes(outcomes(behavior_id=None, frame_id=None, held_out=None, held_out_frame=None), "balanced", 0.95)
    assert [each.part for each in unknown] == ["whole test"]
    assert sizes_table(unknown).rows[0][1:4] == ["4", "–", "–"]


def test_answers_that_repeat_each_other_are_worth_less_than_their_number() -> None:
    """The outcome of a question is the same in every language and seed here, so 40 questions in 10 languages are worth 40."""
    pytest.importorskip("refuseu.results.estimates")
    questions = pd.DataFrame({"question_id": [f"q{number}" for number in range(40)], "outcome": [0.0, 1.0] * 20})
    rows = questions.merge(pd.DataFrame({"lang": [f"l{number}" for number in range(10)]}), how="cross")
    rows = rows.assign(
        rate="asr", model="base", seed=0, behavior_id=None, frame_id=None, held_out=None, held_out_frame=None
    )
    (found,) = sizes(rows, "base", 0.95)
    assert found.answers == 400 and found.effective == pytest.approx(40, rel=0.1)
    assert sizes_table([replace(found, effective=None)]).rows[0][-1] == "–"


def test_what_no_run_can_show_is_said_in_every_report() -> None:
    assert len(belief.CANNOT) == 4
