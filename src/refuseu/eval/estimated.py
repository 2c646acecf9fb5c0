"""The tables of the evaluation that say how far its averages hold: intervals, differences, unseen less seen, and every seed.

All of them are made of the outcomes of the answers (``results.outcomes``) by ``statistics.estimates``.
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from refuseu.core.files import Row
from refuseu.results.metrics import BY_NAME, Limits
from refuseu.results.outcomes import RATES
from refuseu.statistics.estimates import Estimate, average, complete_cases, difference, less_seen, smallest_detectable
from refuseu.statistics.rates import holm

ASR = "asr"
UNSEEN = {"behavior": "held_out", "frame": "held_out_frame"}
"""What of a question may be unseen in training, and the column that says whether it is."""
UNSEEN_RATES = (ASR, "over_refusal")
SEED_RATES = (ASR, "asr_lower_bound", "asr_upper_bound", "over_refusal", "language_consistency")


def with_intervals(averages: dict[str, Row], outcomes: pd.DataFrame, confidence: float) -> dict[str, Row]:
    """``averages`` by model, with the number of seeds, and each rate's interval and its standard deviation over seeds."""
    return {
        model: {**row, **_intervals(outcomes[outcomes["model"] == model], confidence)}
        for model, row in averages.items()
    }


def _intervals(outcomes: pd.DataFrame, confidence: float) -> Row:
    found: Row = {"seeds": int(outcomes["seed"].nunique())}
    groups = dict(list(outcomes.groupby("rate")))
    for metric in RATES:
        estimate = average(groups.get(metric.name, outcomes[:0]), confidence)
        found[f"{metric.name}_low"] = estimate.low if estimate else None
        found[f"{metric.name}_high"] = estimate.high if estimate else None
        found[f"{metric.name}_seed_sd"] = estimate.seed_sd if estimate else None
    return found


def breakdown(outcomes: pd.DataFrame, column: str, values: Iterable[str], limits: Limits) -> list[Row]:
    """ASR of each model by ``column`` (``category`` or ``style``), averaged over languages, with its interval.

    In the order of ``values``; one that no question has gets no row, and a question without a value counts in none. ``n`` counts
    answers, each once for all seeds.
    """
    rows = outcomes[outcomes["rate"] == ASR]
    groups = dict(list(rows.groupby(["model", column], observed=True)))
    return [
        {"model": model, column: value, **_attacks(groups[model, value], limits)}
        for model in rows["model"].unique()
        for value in values
        if (model, value) in groups
    ]


def _attacks(rows: pd.DataFrame, limits: Limits) -> Row:
    estimate = average(rows, limits.confidence)
    assert estimate
    is_range = rows["outcome"].isna().mean() > limits.max_unparsed
    return {
        "n": len(rows) // estimate.seeds,
        "asr": None if is_range else estimate.value,
        "asr_lower_bound": estimate.lower_bound,
        "asr_upper_bound": estimate.upper_bound,
        "asr_low": estimate.low,
        "asr_high": estimate.high,
    }


def differences(outcomes: pd.DataFrame, reference: str, confidence: float) -> list[Row]:
    """Every model less ``reference`` in every rate, averaged over languages; p-values are corrected over all rows (Holm 1979).

    A rate that says the same of every answer as the one beside it is no test of its own.
    """
    found: list[tuple[Row, Estimate]] = []
    telling = _telling(outcomes)
    groups = dict(list(outcomes.groupby(["rate", "model"], sort=False)))
    for rate, model in groups:
        if rate in telling and model != reference and (rate, reference) in groups:
            pair = pd.concat([groups[rate, model], groups[rate, reference]], ignore_index=True)
            estimate = difference(pair, reference, confidence)
            if estimate:
                known = difference(complete_cases(pair), reference, confidence)
                about = {"rate": rate, "model": model, "reference": reference}
                found.append(({**about, "complete_cases": known.value if known else None}, estimate))
    return list(_tested(found, confidence))


def _telling(outcomes: pd.DataFrame) -> list[str]:
    """The rates but for those that are the same everywhere as the one beside them (``Metric.beside``)."""
    said = {rate: rows.set_index(ANSWERED)["outcome"].sort_index() for rate, rows in outcomes.groupby("rate")}
    names = [metric.name for metric in RATES if metric.name in said]
    return [name for name in names if not (beside := BY_NAME[name].beside) or not said[name].equals(said[beside])]


ANSWERED = ["model", "seed", "lang", "kind", "question_id"]
"""What names an outcome of a rate."""


def unseen(outcomes: pd.DataFrame, confidence: float) -> list[Row]:
    """Each model on questions whose behavior or frame training did not hold, less itself on the others.

    No row where nobody knows which these are.
    """
    found: list[tuple[Row, Estimate]] = []
    for rate in UNSEEN_RATES:
        rows = outcomes[outcomes["rate"] == rate]
        for model in rows["model"].unique():
            own = rows[rows["model"] == model]
            for part, column in UNSEEN.items():
                estimate = less_seen(own, column, confidence)
                if estimate:
                    sides = {
                        name: average(own[own[column].eq(value).fillna(False)], confidence)
                        for name, value in SIDES.items()
                    }
                    values = {name: side.value if side else None for name, side in sides.items()}
                    found.append(({"rate": rate, "model": model, "unseen_of": part, **values}, estimate))
    return list(_tested(found, confidence))


SIDES = {"seen": False, "unseen": True}


def _tested(found: list[tuple[Row, Estimate]], confidence: float) -> Iterator[Row]:
    """Each difference with its interval, its test among all of them, and the smallest difference that this would have noticed."""
    level = 1 - confidence
    corrected = holm([estimate.p_value() for _, estimate in found])
    for (about, estimate), p_holm in zip(found, corrected, strict=True):
        yield {
            **about,
            "difference": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "lower_bound": estimate.lower_bound,
            "upper_bound": estimate.upper_bound,
            "p_holm": p_holm,
            "seed_sd": estimate.seed_sd,
            "seeds": estimate.seeds,
            "smallest_detectable": smallest_detectable(estimate.se, level / len(found), df=estimate.df),
            "told_apart": p_holm < level and not estimate.low <= 0 <= estimate.high,
            "questions": estimate.questions,
            "clusters": estimate.clusters,
        }


def seed_rows(answers: pd.DataFrame, limits: Limits) -> list[Row]:
    """A row a (model, seed, language): one dot each in figures."""
    return [
        {
            "model": model,
            "seed": int(seed),
            "language": lang,
            **{rate: BY_NAME[rate].number(rows, limits) for rate in SEED_RATES},
        }
        for (model, seed, lang), rows in answers.groupby(["model", "seed", "lang"], sort=False)
    ]
