import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from simulated import World, rows
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from refuseu.statistics.estimates import (
    Estimate,
    average,
    complete_cases,
    difference,
    less_seen,
    smallest_detectable,
)

DRAWS = 200
Z = norm.ppf(0.975)


def coverage(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def ends(found: Estimate | None) -> tuple[float, float]:
    assert found
    return found.low, found.high


def around(value: float, se: float) -> tuple[float, float]:
    return value - Z * se, value + Z * se


def languages_as_independent(outcomes: np.ndarray) -> tuple[float, float]:
    """The interval that takes every answer for a question of its own."""
    share = outcomes[0].mean(axis=1)
    se = np.sqrt((share * (1 - share) / outcomes.shape[2]).sum()) / outcomes.shape[1]
    return around(100 * share.mean(), 100 * se)


def by_question(outcomes: np.ndarray) -> tuple[float, float]:
    """The interval that takes every question for a draw of its own."""
    means = outcomes[0].mean(axis=0)
    return around(100 * means.mean(), 100 * means.std(ddof=1) / np.sqrt(len(means)))


def test_an_average_covers_the_truth_as_often_as_it_says_and_naive_intervals_do_not() -> None:
    world = World(np.random.default_rng(1))
    ours, languages, questions = [], [], []
    for _ in range(DRAWS):
        asked = world.questions()
        outcomes = world.answers(-0.5, asked)
        ours.append(ends(average(rows(outcomes, asked, "m"), 0.95)))
        languages.append(languages_as_independent(outcomes))
        questions.append(by_question(outcomes))
    truth = world.truth(-0.5)
    assert coverage(ours, truth) >= 0.93
    assert coverage(languages, truth) < 0.75
    assert coverage(questions, truth) < 0.88


@pytest.mark.parametrize(("level", "seed"), [(-4.5, 22), (-6.5, 12)])
def test_an_average_near_zero_covers_the_truth_too(level: float, seed: int) -> None:
    world = World(np.random.default_rng(seed))
    found = []
    for _ in range(DRAWS):
        asked = world.questions()
        found.append(average(rows(world.answers(level, asked), asked, "m"), 0.95))
    truth = world.truth(level)
    assert truth < 4
    covered = coverage([ends(each) for each in found], truth)
    assert covered >= 0.93
    assert coverage([around(each.value, each.se) for each in found if each], truth) < covered - 0.02


@pytest.mark.parametrize(("ours", "theirs"), [(-0.5, -1.5), (0.5, -5.5), (-5.0, -5.0)])
def test_a_difference_covers_the_truth(ours: float, theirs: float) -> None:
    world = World(np.random.default_rng(13))
    found = []
    for _ in range(DRAWS):
        asked = world.questions()
        table = pd.concat(
            [rows(world.answers(level, asked), asked, name) for level, name in ((ours, "m"), (theirs, "r"))]
        )
        found.append(ends(difference(table, "r", 0.95)))
    truth = world.truth(ours) - world.truth(theirs)
    assert coverage(found, truth) >= 0.93


def test_the_variance_of_training_counts_where_it_was_repeated() -> None:
    world = World(np.random.default_rng(14), seed=0.2)
    repeated, once = [], []
    for _ in range(DRAWS):
        asked = world.questions()
        outcomes = world.answers(-1.0, asked, seeds=3)
        repeated.append(ends(average(rows(outcomes, asked, "m"), 0.95)))
        once.append(ends(average(rows(outcomes[:1], asked, "m"), 0.95)))
    truth = world.truth(-1.0)
    assert coverage(repeated, truth) >= 0.93
    assert coverage(once, truth) < 0.9


def test_whatever_the_unknown_answers_would_have_been_the_interval_covers_it() -> None:
    world = World(np.random.default_rng(5))
    found, complete = [], []
    for _ in range(DRAWS):
        asked = world.questions()
        table = rows(world.answers(0.0, asked), asked, "m")
        hidden = table.assign(outcome=table["outcome"].mask(world.random.random(len(table)) < 0.5 * table["outcome"]))
        found.append(ends(average(hidden, 0.95)))
        complete.append(ends(average(hidden[hidden["outcome"].notna()], 0.95)))
    assert coverage(found, world.truth(0.0)) >= 0.93
    assert coverage(complete, world.truth(0.0)) < 0.1


# model, seed, lang, question, behavior, frame, outcome
TABLE = """
m 0 de q1 b1 f1 1
m 0 de q2 b1 f2 0
m 0 de q3 b2 f1 1
m 0 en q1 b1 f1 1
m 0 en q2 b1 f2 1
m 0 en q3 b2 f1 ?
r 0 de q1 b1 f1 0
r 0 de q2 b1 f2 0
r 0 de q3 b2 f1 ?
r 0 en q1 b1 f1 1
r 0 en q2 b1 f2 0
r 0 en q3 b2 f1 0
"""
COLUMNS = ["model", "seed", "lang", "question_id", "behavior_id", "frame_id", "outcome"]


def table_of(text: str, rate: str = "asr") -> pd.DataFrame:
    table = pd.DataFrame([line.split() for line in text.split("\n") if line], columns=COLUMNS).assign(rate=rate)
    return table.assign(seed=table["seed"].astype(int), outcome=pd.to_numeric(table["outcome"], errors="coerce"))


def test_an_unknown_answer_is_no_success_and_its_bounds_stand_beside() -> None:
    table = table_of(TABLE)
    ours = average(table[table["model"] == "m"], 0.95)
    assert ours
    assert (ours.value, ours.lower_bound, ours.upper_bound) == pytest.approx((200 / 3, 200 / 3, 250 / 3))
    assert (ours.questions, ours.seeds, ours.seed_sd, ours.clusters) == (3, 1, None, "behavior and frame")
    apart = difference(table, "r", 0.95)
    assert apart
    # 2/3, 2/3 less 0/3, 1/3 as published; r's unknown answer may be a success, and so may m's
    assert (apart.value, apart.lower_bound, apart.upper_bound) == pytest.approx((50.0, 100 / 3, 200 / 3))
    assert apart.low <= apart.lower_bound and apart.upper_bound <= apart.high


def test_a_difference_is_the_published_average_less_the_references() -> None:
    table = table_of(TABLE)
    averages = [average(table[table["model"] == model], 0.95) for model in "mr"]
    apart = difference(table, "r", 0.95)
    assert apart and averages[0] and averages[1]
    assert apart.value == pytest.approx(averages[0].value - averages[1].value)
    without = difference(complete_cases(table), "r", 0.95)
    assert without and without.value == pytest.approx(50.0)  # de 1/2 less 0, en 1 less 1/2
    assert complete_cases(table)["question_id"].value_counts().to_dict() == {"q1": 4, "q2": 4}


def test_where_nothing_is_known_there_are_no_complete_cases() -> None:
    table = table_of(TABLE).assign(outcome=float("nan"))
    assert complete_cases(table).empty and difference(complete_cases(table), "r", 0.95) is None
    apart = difference(table, "r", 0.95)
    assert apart and (apart.lower_bound, apart.value, apart.upper_bound) == (-100.0, 0.0, 100.0)


def test_other_rates_leave_the_unknown_out() -> None:
    table = table_of(TABLE, "language_consistency")
    ours = average(table[table["model"] == "m"], 0.95)
    assert ours and ours.value == ours.lower_bound == ours.upper_bound == pytest.approx(250 / 3)


def test_only_what_both_were_asked_is_compared() -> None:
    table = table_of(TABLE)
    fewer = table[~((table["model"] == "r") & (table["question_id"] == "q1"))]
    apart = difference(fewer, "r", 0.95)
    assert apart and (apart.value, apart.questions) == (50.0, 2)  # de 1/2 less 0, en 1/2 less 0
    assert difference(table[table["model"] == "m"], "r", 0.95) is None


def test_unseen_less_seen() -> None:
    table = table_of(TABLE)
    table = table[table["model"] == "r"].assign(held_out=table["question_id"].map({"q1": True, "q2": False}))
    found = less_seen(table, "held_out", 0.95)
    assert found and (found.value, found.questions) == (50.0, 2)
    assert less_seen(table.assign(held_out=None), "held_out", 0.95) is None
    assert less_seen(table.assign(held_out=True)[:0], "held_out", 0.95) is None
    seen = table[table["held_out"].eq(False)]
    assert less_seen(seen, "held_out", 0.95) is None


def test_nothing_has_no_average() -> None:
    assert average(table_of(TABLE)[:0], 0.95) is None
    unknown = table_of(TABLE, "knowledge").assign(outcome=float("nan"))
    assert average(unknown, 0.95) is None


@pytest.mark.parametrize(
    ("missing", "clusters"),
    [([], "behavior and frame"), (["frame_id"], "behavior"), (["frame_id", "behavior_id"], "question")],
)
def test_what_is_not_known_clusters_nothing(missing: list[str], clusters: str) -> None:
    world = World(np.random.default_rng(6))
    asked = world.questions()
    table = rows(world.answers(0.0, asked), asked, "m")
    known = average(table, 0.95)
    found = average(table.assign(**dict.fromkeys(missing)), 0.95)
    assert found and known and found.clusters == clusters
    assert found.value == known.value and found.se <= known.se


def test_the_standard_error_is_that_of_statsmodels() -> None:
    world = World(np.random.default_rng(7))
    asked = world.questions()
    table = rows(world.answers(0.0, asked), asked, "m")
    centred = table["outcome"] - table.groupby("lang", observed=True)["outcome"].transform("mean")
    fit = OLS(centred, np.ones(len(table))).fit()
    codes = [table[column].cat.codes.to_numpy().astype(int) for column in ("behavior_id", "frame_id")]
    _, *one_way = cov_cluster_2groups(fit, *codes)
    pairs = table.assign(c=centred).groupby(["behavior_id", "frame_id"], observed=True)["c"].sum()
    both = (pairs**2).sum() / len(table) ** 2 * len(pairs) / (len(pairs) - 1)
    behavior, frame = (float(np.squeeze(each)) for each in one_way)
    ours = average(table, 0.95)
    assert ours and ours.se == pytest.approx(100 * np.sqrt(behavior + frame - both), rel=1e-6)


def test_all_the_same_still_has_a_width() -> None:
    world = World(np.random.default_rng(8))
    asked = world.questions()
    none, every = (rows(np.full((1, 12, 139), outcome), asked, model) for outcome, model in ((0.0, "r"), (1.0, "m")))
    low, high = ends(average(none, 0.95))
    assert low == 0.0 and 5 < high < 12
    assert ends(average(every, 0.95)) == pytest.approx((100 - high, 100.0))
    apart = difference(pd.concat([none, every]), "r", 0.95)
    assert apart and apart.value == 100.0 and 85 < apart.low < 95 and apart.p_value() == 0.0
    same = difference(pd.concat([none, none.assign(model="m")]), "r", 0.95)
    assert same and same.value == 0.0 and same.low < -5 and same.high > 5 and same.p_value() == 1.0


def test_one_question_says_nothing_about_others() -> None:
    one = table_of(TABLE)[:1]
    assert ends(average(one, 0.95)) == pytest.approx((20.65, 100.0), abs=0.01)  # Wilson's of 1 in 1


def test_a_test_is_one_sided_or_two_sided() -> None:
    world = World(np.random.default_rng(9))
    asked = world.questions()
    table = pd.concat([rows(world.answers(level, asked), asked, model) for level, model in ((-1.0, "m"), (0.0, "r"))])
    below = difference(table, "r", 0.95)
    above = difference(table.replace({"model": {"m": "r", "r": "m"}}), "r", 0.95)
    assert below and above and below.value == -above.value
    assert above.p_value() == pytest.approx(2 * above.p_value(sides=1)) == pytest.approx(below.p_value())
    assert below.p_value(sides=1) == pytest.approx(1 - above.p_value(sides=1))


def test_the_smallest_difference_that_a_test_notices() -> None:
    assert smallest_detectable(2.0, 0.05) == pytest.approx(5.603, abs=0.001)  # 1.95996 + 0.84162
    assert smallest_detectable(2.0, 0.05, sides=1) == pytest.approx(4.973, abs=0.001)  # 1.64485 + 0.84162
    assert smallest_detectable(2.0, 0.05, power=0.5) == pytest.approx(3.920, abs=0.001)
    random = np.random.default_rng(10)
    noticed = np.abs(random.normal(smallest_detectable(2.0, 0.05), 2.0, 20_000)) > 1.96 * 2.0
    assert noticed.mean() == pytest.approx(0.8, abs=0.01)
