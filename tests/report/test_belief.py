"""What the report says of how far its numbers can be believed follows from the numbers, by rule."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from evaluated import averages, row

from refuseu.report import belief
from refuseu.report.belief import (
    all_differences_table,
    base_table,
    differences_table,
    disagreements_table,
    judges_by_language_table,
    judges_table,
    search_said,
    sizes,
    sizes_table,
    spread_table,
    too_close,
    unseen_table,
    worst_cells_table,
    yield_table,
)
from refuseu.results.outputs import (
    AgreementRow,
    DifferenceRow,
    DisagreementRow,
    Evaluation,
    LabelAccount,
    SearchRow,
    SplitAccount,
    UnseenRow,
)

MODELS = ["base", "balanced", "custom", "no-english"]


def less(model: str, rate: str, difference: float, noticed: float, told_apart: bool, **others: Any) -> DifferenceRow:
    known: dict[str, Any] = {
        "reference": "balanced",
        "low": difference - 1,
        "high": difference + 1,
        "p_holm": 0.01 if told_apart else 0.5,
        "seed_sd": 0.5,
        "clusters": "behavior and frame",
        "complete_cases": difference + 5,
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
    assert table.notes == (*too_close(DIFFERENCES, MODELS), "intervals are clustered by behavior and frame")


def test_all_models_stand_beside_the_same_over_complete_cases() -> None:
    table = all_differences_table(DIFFERENCES)
    assert [line[0] for line in table.rows] == ["base", "no-english", "only-pl"]
    assert table.rows[0][-1] == "+58.0"


def test_unseen_behaviors_and_wordings_stand_beside_seen_ones_of_main_models() -> None:
    known = less("custom", "asr", 3.0, 4.0, told_apart=False).model_dump(exclude={"reference", "complete_cases"})
    rows = [
        UnseenRow(**known | {"model": model}, unseen_of=what, seen=10.0, unseen=None if model == "custom" else 13.0)
        for model in ("custom", "balanced", "only-pl")
        for what in ("frame", "behavior")
    ]
    assert [line[:6] for line in unseen_table(rows, MODELS).rows] == [
        ["balanced", "ASR", "behaviors", "10.0", "13.0", "+3.0"],
        ["custom", "ASR", "behaviors", "10.0", "–", "+3.0"],
        ["balanced", "ASR", "wordings", "10.0", "13.0", "+3.0"],
        ["custom", "ASR", "wordings", "10.0", "–", "+3.0"],
    ]


def judged(language: str, one: float, other: float, panel: float, agreement: float, **flags: bool) -> AgreementRow:
    known = {"panel_outside": False, "judges_apart": False, "low_agreement": False} | flags
    return AgreementRow(
        rate="asr",
        model="custom",
        language=language,
        n=50,
        panel=panel,
        by_judge={"lexicon": one, "ngrams": other},
        lowest=min(one, other),
        highest=max(one, other),
        agreement=agreement,
        ac1=agreement / 100,
        kappa=None,
        **known,
    )


JUDGED = [
    judged("en", 40.0, 44.0, 42.0, 97.0),
    judged("pl", 20.0, 50.0, 52.0, 70.0, panel_outside=True, judges_apart=True, low_agreement=True),
]


def test_judges_are_shown_as_a_range_with_their_least_agreement_and_flags_counted() -> None:
    assert judges_table(JUDGED, MODELS).rows == [
        ["custom", "ASR", "47.0", "30.0–47.0", "70.0 pl", "0.70", "1", "1", "1"],
    ]


def test_each_cell_names_its_flags() -> None:
    table = judges_by_language_table(JUDGED, MODELS)
    assert table.header[3:5] == ["lexicon", "ngrams"]
    assert [line[-1] for line in table.rows] == ["–", "apart, low agreement, outside"]
    assert judges_by_language_table(JUDGED, ["balanced"]).rows == []


def test_the_largest_disagreements_have_ids_and_verdicts_and_no_texts() -> None:
    found = DisagreementRow(
        model="custom",
        seed=1,
        language="pl",
        question_id="q1",
        verdicts={"lexicon": "safe", "ngrams": "harmful"},
        panel="harmful",
        unanimous=70.0,
        alike=9,
        disputed=12,
    )
    assert disagreements_table([found]).rows == [
        ["custom", "pl", "1", "q1", "lexicon: safe; ngrams: harmful", "harmful", "70.0", "12", "9"]
    ]


LEFT = {"asked": 9, "question": 8, "language": 7, "chosen": 6, "rejected": 5, "accepted": 5}
LABEL = LabelAccount(
    rows_in=18,
    rows_out=14,
    rejected={},
    uncovered={},
    acceptance_by_lang={},
    judges={},
    filters={"harmful": {"en": LEFT, "pl": LEFT | {"asked": 10}}, "benign": {}},
    complied={"en": 50.0, "pl": 70.0},
)
SPLIT = SplitAccount(
    rows_in=14,
    rows_out=14,
    rejected={},
    parts={},
    contamination={},
    mixes={},
    by_language={
        "en": {"complete": 6, "test": 2, "dev": 1, "held_out": 0, "for_training": 3, "accepted": 2, "train": 2}
    },
    complied={"complete": {"en": 51.0, "pl": 71.0}, "test": {"en": 40.0, "pl": None}},
)


def test_the_bases_asr_is_shown_before_and_after_selection() -> None:
    assert base_table(LABEL, SPLIT, ["en", "pl"]).rows == [
        ["all questions", "50.0", "70.0", "60.0"],
        ["complete in all languages", "51.0", "71.0", "61.0"],
        ["in the test", "40.0", "–", "40.0"],
    ]


def test_every_filter_says_what_it_leaves_in_each_language() -> None:
    rows = {line[0]: line[1:] for line in yield_table(LABEL, SPLIT, ["en", "pl"]).rows}
    assert rows["answered by the base"] == ["9", "10"]
    assert rows["→ test"] == ["2", "–"]
    assert list(rows) == [belief.STEPS[step] for step in ("asked", "question", "language", *belief.OF_SPLIT)]
    old = LABEL.model_copy(update={"filters": {}})
    assert yield_table(old, SPLIT.model_copy(update={"by_language": {}}), ["en"]).rows == []


def test_configs_closer_than_what_can_be_told_apart_are_called_so_in_words() -> None:
    assert list(too_close(DIFFERENCES, MODELS)) == [
        "**not told apart** from `balanced` in ASR: `no-english` (+2.0; from 2.9 on it would be noticed)",
        "**not told apart** from `balanced` in over-refusal: `custom` (-0.4; from 1.3 on it would be noticed)",
    ]
    assert list(too_close([less("custom", "asr", 9.0, 2.0, told_apart=True)], MODELS)) == []
    assert next(iter(too_close([less("custom", "asr", 3.0, 2.0, told_apart=False)], MODELS))).endswith(
        "`custom` (+3.0; its interval is [+2.0, +4.0])"
    )


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
    found = sizes(pd.concat([outcomes(), outcomes(model="custom"), outcomes(rate="over_refusal")]), "balanced")
    assert [(each.part, each.questions, each.behaviors, each.frames, each.answers) for each in found] == [
        ("whole test", 4, 2, 2, 16),
        ("unseen behaviors", 2, 1, 2, 8),
        ("unseen wordings", 2, 2, 1, 8),
        ("unseen behaviors in unseen wordings", 1, 1, 1, 4),
    ]
    assert {(each.languages, each.seeds) for each in found} == {(2, 2)}
    unknown = sizes(outcomes(behavior_id=None, frame_id=None, held_out=None, held_out_frame=None), "balanced")
    assert [each.part for each in unknown] == ["whole test"]
    assert sizes_table(unknown).rows[0][1:4] == ["4", "–", "–"]


def test_answers_that_repeat_each_other_are_worth_less_than_their_number() -> None:
    """The outcome of a question is the same in every language and seed here, so 40 questions in 10 languages are worth 40."""
    questions = pd.DataFrame({"question_id": [f"q{number}" for number in range(40)], "outcome": [0.0, 1.0] * 20})
    rows = questions.merge(pd.DataFrame({"lang": [f"l{number}" for number in range(10)]}), how="cross")
    rows = rows.assign(
        rate="asr", model="base", seed=0, behavior_id=None, frame_id=None, held_out=None, held_out_frame=None
    )
    (found,) = sizes(rows, "base")
    assert found.answers == 400 and found.effective == pytest.approx(40, rel=0.1)
    assert sizes_table([replace(found, effective=None)]).rows[0][-1] == "–"


def test_what_no_run_can_show_is_said_in_every_report() -> None:
    assert len(belief.CANNOT) == 4
