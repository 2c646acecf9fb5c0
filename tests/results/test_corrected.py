"""Rates corrected by people's labels: by hand, and on simulated judges whose errors are known."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.results.corrected import (
    LABELS,
    Corrected,
    are_of,
    corrected,
    corrected_rows,
    corrected_table,
    read_labels,
    write_labels,
)

SENSITIVITY, SPECIFICITY = 0.89, 0.95
LANGUAGES, QUESTIONS, A_LANGUAGE = 12, 139, 25
LANGS = np.repeat([f"l{number:02}" for number in range(LANGUAGES)], QUESTIONS).astype(object)


def table(people: str, panel: str, everything: str, size: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All answers of one language, and labels of some; a character an answer, 1 for harmful."""
    judged = pd.DataFrame({"model": "m", "lang": "en", "outcome": [float(each) for each in everything]})
    labels = [
        ("m", 0, "en", f"q{place}", "all", size, float(f), float(y))
        for place, (y, f) in enumerate(zip(people, panel, strict=True))
    ]
    return judged, pd.DataFrame(labels, columns=LABELS)


def sure(found: Corrected | None) -> Corrected:
    assert found is not None
    return found


def test_by_hand() -> None:
    judged, labels = table("1110000001", "1100000101", "1110000000" * 10, 100)
    found = sure(corrected(judged, labels, 0.0, 0.95))
    # People 4 of 10, the panel 4 of 10, and 3 of 10 in all. Covariance 1.4 / 9, variance 2.4 / 9: lambda is 7 / 12.
    assert (found.judged, found.alone, found.labels) == (pytest.approx(30.0), pytest.approx(40.0), 10)
    assert found.power == pytest.approx(7 / 12)
    assert found.value == pytest.approx(40 + 7 / 12 * (30 - 40))
    # Residuals have the variance (2.4 - 1.4**2 / 2.4) / 9, over 10 labels of 100 answers; t of 9 degrees of freedom 2.2622.
    half = 226.22 * (0.9 * (2.4 - 1.4**2 / 2.4) / 9 / 10) ** 0.5
    assert (found.low, found.high) == (
        pytest.approx(found.value - half, abs=0.01),
        pytest.approx(found.value + half, abs=0.01),
    )
    alone = 226.22 * (0.9 * 2.4 / 9 / 10) ** 0.5
    assert (found.alone_low, found.alone_high) == (
        pytest.approx(40 - alone, abs=0.01),
        pytest.approx(40 + alone, abs=0.01),
    )
    # 3 of 4, 5 of 6, and (0.3 + 5/6 - 1) / (3/4 + 5/6 - 1).
    assert (found.sensitivity, found.specificity) == (pytest.approx(75.0), pytest.approx(250 / 3))
    assert found.rogan_gladen == pytest.approx(100 * (0.3 - 1 / 6) / (0.75 - 1 / 6))


def test_what_was_drawn_more_often_weighs_less() -> None:
    judged, labels = table("11011", "11000", "1" * 10 + "0" * 90, 10)
    labels = labels.drop(3)
    labels["stratum"], labels["size"] = ["harmful", "harmful", "safe", "safe"], [10, 10, 90, 90]
    # All harmful ones are right, and half of the others are: 0.1 * 1 + 0.9 * 0.5, whatever lambda is.
    found = sure(corrected(judged, labels, 0.0, 0.95))
    assert (found.alone, found.value) == (pytest.approx(55.0), pytest.approx(55.0))
    assert found.sensitivity == pytest.approx(100 * 0.1 / 0.55)


@pytest.mark.parametrize("drawn", [3, 5])
def test_lambda_is_not_the_rounding_of_a_sum(drawn: int) -> None:
    judged, labels = table("1" * drawn + "10" * drawn, "1" * drawn + "00" * drawn, "1" * 30 + "0" * 170, 10)
    labels["stratum"] = ["harmful"] * drawn + ["safe"] * 2 * drawn
    labels["size"] = [30] * drawn + [170] * 2 * drawn
    assert sure(corrected(judged, labels, 0.0, 0.95)).power == 1.0


def test_a_sample_without_any_error_still_leaves_something_unknown() -> None:
    judged, labels = table("0" * 20, "0" * 20, "0" * 100, 100)
    found = sure(corrected(judged, labels, 0.0, 0.95))
    assert (found.value, found.low) == (0.0, 0.0)
    assert 4 < found.high < 12  # half an error in 21: 2.4%, and twice its error


def test_the_questions_variance_is_added() -> None:
    judged, labels = table("1110000001", "1100000101", "1110000000" * 10, 100)
    without, added = (sure(corrected(judged, labels, se, 0.95)) for se in (0.0, 3.0))
    assert (added.high - added.value) ** 2 == pytest.approx(
        (without.high - without.value) ** 2 + (1.96 * 3) ** 2, abs=0.01
    )


def test_labels_of_others_belong_to_their_strata_alone() -> None:
    judged, labels = table("1100", "1000", "1000" * 10, 80)
    others = labels.assign(model="other", label=1.0)
    found = sure(corrected(judged, pd.concat([labels, others]), 0.0, 0.95))
    assert (found.labels, found.alone) == (4, pytest.approx(50.0))
    assert corrected(judged.assign(model="third"), labels, 0.0, 0.95) is None


def test_two_labels_are_too_few_for_an_interval_and_a_coin_for_a_judge() -> None:
    judged, labels = table("10", "01", "10" * 10, 20)
    labels["stratum"] = ["a", "b"]
    found = sure(corrected(judged, labels, 0.0, 0.95))
    assert (found.low, found.high, found.rogan_gladen) == (0.0, 100.0, None)


def simulated(prevalence: float, runs: int) -> Iterator[tuple[Corrected, float]]:
    """Estimates of ``runs`` runs, each with the standard error of the rate as judged; 25 answers a language have labels."""
    rng = np.random.default_rng(7)
    for _ in range(runs):
        harmful = rng.random(LANGUAGES * QUESTIONS) < prevalence
        chance = rng.random(LANGUAGES * QUESTIONS)
        said = np.where(harmful, chance < SENSITIVITY, chance >= SPECIFICITY).astype(float)
        drawn = np.concatenate(
            [place * QUESTIONS + rng.choice(QUESTIONS, A_LANGUAGE, replace=False) for place in range(LANGUAGES)]
        )
        labels = pd.DataFrame(
            {"model": "m", "lang": LANGS[drawn], "stratum": LANGS[drawn], "size": QUESTIONS}
            | {"judged": said[drawn], "label": harmful[drawn].astype(float)}
        )
        error = 100 * float(said.std()) / len(said) ** 0.5
        judged = pd.DataFrame({"model": "m", "lang": LANGS, "outcome": said})
        yield sure(corrected(judged, labels, error, 0.95)), error


@pytest.mark.parametrize("prevalence", [0.05, 0.9])
def test_corrected_rates_cover_the_truth_where_judged_ones_never_do(prevalence: float) -> None:
    truth = 100 * prevalence
    found = list(simulated(prevalence, 150))
    covered = [each.low <= truth <= each.high for each, _ in found]
    naive = [abs(each.judged - truth) <= 1.96 * error for each, error in found]
    assert np.mean(covered) >= 0.93
    assert np.mean(naive) <= 0.02
    assert np.mean([each.value for each, _ in found]) == pytest.approx(truth, abs=0.5)
    assert np.mean([each.rogan_gladen for each, _ in found]) == pytest.approx(truth, abs=0.8)
    # The tuned lambda is between ignoring the panel and trusting it, and never worse than people's labels alone.
    assert all(0 < each.power < 1 for each, _ in found)
    assert all(
        each.high - each.low <= each.alone_high - each.alone_low + 1e-9 for each, _ in found if each.alone_low > 0
    )
    assert np.mean([each.high - each.low for each, _ in found]) < 0.9 * np.mean(
        [each.alone_high - each.alone_low for each, _ in found]
    )


def outcomes() -> pd.DataFrame:
    rows = [
        {
            "rate": "asr",
            "model": model,
            "seed": seed,
            "lang": lang,
            "question_id": f"q{place}",
            "outcome": float(place < 3),
        }
        for model in ("m", "other")
        for seed in (0, 1)
        for lang in ("en", "pl")
        for place in range(10)
    ]
    return pd.DataFrame(rows)


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    drawn = rows[rows["question_id"].isin(["q0", "q1", "q8", "q9"])]
    return drawn.assign(stratum=drawn["lang"], size=40, judged=drawn["outcome"], label=drawn["outcome"])[LABELS]


def test_a_row_a_model_and_a_language_that_have_labels() -> None:
    rows = outcomes()
    labels = labelled(rows[rows["model"] == "m"])
    found = corrected_rows(rows, labels, 0.95)
    assert [(row["of"], row["name"], row["labels"]) for row in found] == [
        ("model", "m", 16),
        ("language", "en", 8),
        ("language", "pl", 8),
    ]
    assert found[0]["judged"] == pytest.approx(30.0)
    assert found[0]["judged_low"] < 30 < found[0]["judged_high"]
    shown = corrected_table(found)
    assert shown.rows[0][:3] == ["m", "16", "30.0"] and shown.notes and not corrected_table([]).notes


def test_labels_are_kept_without_texts_and_are_those_of_their_results(tmp_path: Path) -> None:
    rows, path = outcomes(), tmp_path / "audit/answers.csv"
    assert read_labels(path) is None
    write_labels(labelled(rows).assign(answer="A text.", question="Another."), path)
    assert "text" not in path.read_text() and path.read_text().startswith(",".join(LABELS))
    kept = read_labels(path)
    assert kept is not None and len(kept) == 32
    assert are_of(kept, rows)
    assert not are_of(kept, rows.assign(outcome=rows["outcome"].where(rows["question_id"] != "q9", 1.0)))
    assert not are_of(kept, rows[rows["seed"] == 0])


@pytest.mark.parametrize(
    "content",
    ["", "model,seed\nm,0\n", f"{','.join(LABELS)}\nm,0,en,q,x,ten,1,1\n", f"{','.join(LABELS)}\nm,0,en,q,x,9,1,2\n"],
)
def test_another_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(content)
    with pytest.raises(UserError, match=r"answers\.csv: "):
        read_labels(tmp_path / "answers.csv")
