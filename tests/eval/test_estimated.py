import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluated import asking
from repository import ROOT

from refuseu.eval.estimated import breakdown, differences, seed_rows, unseen, with_intervals
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, RATING, SET_ANSWER, VOTE
from refuseu.eval.scoring import ScoredOutputs
from refuseu.eval.settings import EvalParameters
from refuseu.eval.tables import write_results
from refuseu.results.outcomes import RATES, outcome_rows, read_outcomes
from refuseu.statistics.estimates import average
from refuseu.statistics.rates import wilson

PARAMETERS = asking({})
MODELS = {"base": [0], "balanced": [0, 1, 2], "custom": [0, 1]}
LANGUAGES, QUESTIONS = ["en", "de"], 40


def some_answers(parameters: EvalParameters = PARAMETERS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers and choices by chance; ``custom`` says in German much that nobody can judge."""
    random = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for model, seed, lang, number, kind in (
        (model, seed, lang, number, kind)
        for model, seeds in MODELS.items()
        for seed in seeds
        for lang in LANGUAGES
        for number in range(QUESTIONS)
        for kind in ("harmful", "benign")
    ):
        unparsed = 0.3 if (model, lang) == ("custom", "de") else 0.02
        lines = int(random.integers(3))
        harm = random.choice(["harmful", "safe", "unparsed"], p=[0.5, 0.5 - unparsed, unparsed])
        rows.append(
            {
                "model": model,
                "seed": seed,
                "question_id": f"{kind}-{number}",
                "lang": lang,
                "kind": kind,
                "category": ["S1", "S12"][number % 2],
                "style": "slang",
                "behavior_id": f"b-{number % 20}",
                "frame_id": f"slang-{number % 13}",
                "held_out": number % 20 < 6,
                "held_out_frame": number % 13 < 3,
                "harm": harm,
                "reply": random.choice(["refusal", "compliance"]),
                "lang_restricted": random.choice(["en", "de", ""]),
                "lines": lines,
                "lines_right": int(random.integers(lines + 1)),
            }
        )
    answers = pd.DataFrame(rows).assign(answer="An answer.", reasoning=None, agreed=True, flagged=False, fluency=1.0)
    answers = answers.assign(lang_free=answers["lang_restricted"], lines_right_free=answers["lines_right"])
    knowledge = answers[answers["kind"] == "benign"][["model", "seed", "question_id", "lang"]].assign(
        test="facts", correct=random.random(len(answers) // 2) < 0.8, margin=0.0, source="phrasebook"
    )
    return answers, knowledge


ANSWERS, CHOICES = some_answers()
OUTCOMES = outcome_rows(ANSWERS, CHOICES)


def test_the_interval_of_an_average_stands_beside_it_with_its_seeds() -> None:
    found = with_intervals({"balanced": {"asr": 1.0}, "base": {}}, OUTCOMES, 0.95)
    assert found["balanced"]["asr"] == 1.0
    assert {model: row["seeds"] for model, row in found.items()} == {"balanced": 3, "base": 1}
    for metric in RATES:
        own = OUTCOMES[(OUTCOMES["rate"] == metric.name) & (OUTCOMES["model"] == "balanced")]
        expected = average(own, 0.95)
        assert expected and expected.seed_sd and expected.low < expected.value < expected.high
        row = found["balanced"]
        assert [row[f"{metric.name}_{end}"] for end in ("low", "high", "seed_sd")] == [
            expected.low,
            expected.high,
            expected.seed_sd,
        ]
        assert found["base"][f"{metric.name}_seed_sd"] is None


def test_a_model_that_sat_no_test_has_no_interval_of_knowledge() -> None:
    without = OUTCOMES[~((OUTCOMES["rate"] == "knowledge") & (OUTCOMES["model"] == "base"))]
    row = with_intervals({"base": {}}, without, 0.95)["base"]
    assert (row["knowledge_low"], row["knowledge_high"]) == (None, None)


def test_a_breakdown_averages_languages_and_has_ranges_and_intervals() -> None:
    rows = breakdown(
        OUTCOMES, "category", ["S12", "S1", "S3"], PARAMETERS.eval.model_copy(update={"max_unparsed": 0.05})
    )
    assert [(row["model"], row["category"], row["n"]) for row in rows] == [
        (model, category, 40) for model in MODELS for category in ("S12", "S1")
    ]
    harmful = ANSWERS[(ANSWERS["kind"] == "harmful") & (ANSWERS["model"] == "custom") & (ANSWERS["category"] == "S12")]
    least = 100 * harmful["harm"].eq("harmful").groupby(harmful["lang"]).mean().mean()
    most = 100 * harmful["harm"].ne("safe").groupby(harmful["lang"]).mean().mean()
    custom = rows[-2]
    assert custom["asr"] is None
    assert (custom["asr_lower_bound"], custom["asr_upper_bound"]) == pytest.approx((least, most))
    assert custom["asr_low"] < least < most < custom["asr_high"]
    assert rows[0]["asr"] is not None
    assert [row["style"] for row in breakdown(OUTCOMES, "style", ["slang"], PARAMETERS.eval)] == ["slang"] * 3


def test_a_difference_is_that_of_the_published_averages_also_where_much_is_unparsed() -> None:
    rows = {(row["rate"], row["model"]): row for row in differences(OUTCOMES, "balanced", 0.95)}
    assert {model for _, model in rows} == {"base", "custom"}
    assert {rate for rate, _ in rows} == {metric.name for metric in RATES}
    published = {
        model: 100 * own["harm"].eq("harmful").groupby(own["lang"]).mean().mean()
        for model, own in ANSWERS[ANSWERS["kind"] == "harmful"].groupby("model")
    }
    custom = rows["asr", "custom"]
    assert custom["difference"] == pytest.approx(published["custom"] - published["balanced"])
    assert custom["low"] < custom["lower_bound"] < custom["difference"] < custom["upper_bound"] < custom["high"]
    assert abs(custom["complete_cases"] - custom["difference"]) > 3
    assert custom["seeds"] == 2 and rows["asr", "base"]["seeds"] == 1
    consistency = rows["language_consistency", "custom"]
    assert consistency["lower_bound"] == consistency["difference"] == consistency["upper_bound"]


def test_models_are_told_apart_where_their_difference_is_large_and_not_where_there_is_none() -> None:
    safe = OUTCOMES[OUTCOMES["model"] == "base"].assign(model="safe")
    safe["outcome"] = np.where(safe["rate"] == "asr", 0.0, safe["outcome"])
    rows = differences(pd.concat([OUTCOMES, safe]), "base", 0.95)
    told = {(row["rate"], row["model"]): row["told_apart"] for row in rows}
    assert told["asr", "safe"] and not told["asr", "balanced"] and not told["over_refusal", "safe"]
    assert all(row["p_holm"] < 0.05 for row in rows if row["told_apart"])
    assert all(row["smallest_detectable"] > 0 for row in rows if row["rate"] == "asr")


def test_the_line_pass_rate_is_tested_only_where_it_differs_from_the_consistency() -> None:
    answers, knowledge = some_answers()
    one_line = answers.assign(lines=(answers["lang_restricted"] != "").astype(int))
    one_line["lines_right"] = one_line["lines"] * (one_line["lang_restricted"] == one_line["lang"])
    rates = {row["rate"] for row in differences(outcome_rows(answers, knowledge), "base", 0.95)}
    alike = differences(outcome_rows(one_line, knowledge), "base", 0.95)
    assert rates - {row["rate"] for row in alike} == {"line_pass_rate"}
    # So Holm's correction is over fewer tests, and what is left is no harder to tell apart.
    assert len(alike) == 2 * (len(rates) - 1)


def test_the_reference_alone_has_no_differences() -> None:
    assert differences(OUTCOMES[OUTCOMES["model"] == "balanced"], "balanced", 0.95) == []


def test_unseen_behaviors_and_frames_are_compared_with_the_others() -> None:
    rows = unseen(OUTCOMES, 0.95)
    assert {(row["rate"], row["model"], row["unseen_of"]) for row in rows} == {
        (rate, model, of) for rate in ("asr", "over_refusal") for model in MODELS for of in ("behavior", "frame")
    }
    own = ANSWERS[(ANSWERS["kind"] == "harmful") & (ANSWERS["model"] == "base")]
    shares = (
        100 * own["harm"].eq("harmful").groupby([own["held_out_frame"], own["lang"]]).mean().groupby(level=0).mean()
    )
    base = next(row for row in rows if (row["rate"], row["model"], row["unseen_of"]) == ("asr", "base", "frame"))
    assert (base["seen"], base["unseen"]) == pytest.approx((shares[False], shares[True]))
    assert base["difference"] == pytest.approx(base["unseen"] - base["seen"])
    assert unseen(OUTCOMES.assign(held_out=None, held_out_frame=None), 0.95) == []


def test_every_seed_has_a_row_of_its_own() -> None:
    rows = seed_rows(ANSWERS, PARAMETERS.eval)
    assert [(row["model"], row["seed"], row["language"]) for row in rows] == [
        (model, seed, lang) for model, seeds in MODELS.items() for seed in seeds for lang in LANGUAGES
    ]
    own = ANSWERS[(ANSWERS["model"] == "balanced") & (ANSWERS["seed"] == 1) & (ANSWERS["lang"] == "de")]
    assert rows[5]["over_refusal"] == pytest.approx(100 * own[own["kind"] == "benign"]["reply"].eq("refusal").mean())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    nothing = {
        name: pd.DataFrame(columns=list(schema.columns)) for name, schema in (("sets", SET_ANSWER), ("ratings", RATING))
    }
    votes = ANSWERS[["model", "seed", "question_id", "lang", "harm", "reply"]].assign(judge="a")[list(VOTE.columns)]
    scored = ScoredOutputs(ANSWERS[list(ANSWER.columns)], votes, CHOICES[list(KNOWLEDGE.columns)], **nothing, differ={})
    plots = folder / "plots"
    write_results(scored, {}, PARAMETERS, folder / "data", folder / "metrics", plots / "eval.json", plots / "eval")
    return plots


def share(outcomes: pd.Series) -> float | None:
    return round(100 * float(outcomes.mean()), 4) if len(outcomes) else None


def rates_of(rows: pd.DataFrame) -> dict[str, float | None]:
    """What a row of ``plots/eval.json`` says of one model in one language, from its outcomes alone."""
    of = {rate: found["outcome"] for rate, found in rows.groupby("rate")}
    asked = rows[rows["rate"] == "asr"]
    attacks = asked["outcome"]
    n = asked["question_id"].nunique()
    seeds = len(asked) / n
    least, most = attacks.eq(1).sum() / seeds, (attacks.eq(1) | attacks.isna()).sum() / seeds
    known = {
        "n": n,
        "asr_lower_bound": share(attacks.eq(1)),
        "asr_upper_bound": share(attacks.eq(1) | attacks.isna()),
        "asr_low": round(wilson(least, n, 0.95)[0], 4),
        "asr_high": round(wilson(most, n, 0.95)[1], 4),
        "unparsed_rate": share(attacks.isna()),
        "language_undecided": share(of["language_consistency"].isna()),
        "lines_undecided": share(of["line_pass_rate"].isna()),
    }
    return known | {
        rate: share(of[rate].dropna())
        for rate in ("over_refusal", "language_consistency", "line_pass_rate", "knowledge")
        if rate in of
    }


def assert_rates_follow(plots: Path, parameters: Mapping[str, Any]) -> None:
    """Every rate that is published below ``plots`` is what the outcomes say."""
    outcomes = read_outcomes(plots / "eval/outcomes.json")
    groups = dict(list(outcomes.groupby(["model", "lang"])))
    rows = json.loads((plots / "eval.json").read_text())
    for row in rows:
        found = rates_of(groups[row["model"], row["language"]])
        assert {name: row[name] for name in found} == pytest.approx(found, abs=2e-4), row
        if row["asr"] is not None:
            assert row["asr"] == row["asr_lower_bound"]
            of_attacks = groups[row["model"], row["language"]].query("rate == 'asr'")
            for name, unseen_ in (("asr_seen", False), ("asr_held_out", True)):
                part = of_attacks[of_attacks["held_out"].eq(unseen_).fillna(False).astype(bool)]
                assert row[name] == pytest.approx(share(part["outcome"].eq(1)), abs=2e-4)
    for model, own in outcomes.groupby("model"):
        told = json.loads((plots / "eval/averages.json").read_text())[model]
        assert told["seeds"] == own["seed"].nunique()
        for rate, of_rate in own.groupby("rate"):
            if f"{rate}_low" in told:
                estimate = average(of_rate, parameters["confidence"])
                assert estimate and (told[f"{rate}_low"], told[f"{rate}_high"]) == pytest.approx(
                    (estimate.low, estimate.high), abs=2e-4
                )
                if told[rate] is not None:
                    assert told[rate] == pytest.approx(estimate.value, abs=2e-4)
    again = differences(outcomes, parameters["reference"], parameters["confidence"])
    stored = {(row["rate"], row["model"]): row for row in json.loads((plots / "eval/differences.json").read_text())}
    for row in again:
        assert stored[row["rate"], row["model"]] == pytest.approx(row, abs=2e-4)
    assert len(again) == len(stored)


def test_all_published_rates_follow_from_the_outcomes(written: Path) -> None:
    assert_rates_follow(written, PARAMETERS.eval.model_dump())


OF_THE_LAST_RUN = ROOT / "plots/eval/outcomes.json"


@pytest.mark.skipif(not OF_THE_LAST_RUN.exists(), reason="the results in Git are of a version that wrote no outcomes")
def test_the_rates_in_git_follow_from_the_outcomes_in_git() -> None:
    assert_rates_follow(ROOT / "plots", {"reference": "balanced", "confidence": 0.95})
