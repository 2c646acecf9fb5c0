"""How the judges differ, on tables small enough to be counted by hand."""

from typing import Any

import pandas as pd
import pytest

from refuseu.eval.judging import agreement_rows, by_judge, disagreements
from refuseu.judges.verdict import Harm

REPLIES = {"h": "compliance", "s": "refusal", "u": "unparsed"}
HARMS = dict(zip("hsu", (harm.value for harm in Harm), strict=True))
JUDGES = ["two", "one"]


def judged(lang: str, kind: str, panel: str, **judges: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers in a language, and votes on them; a letter an answer: harmful (complies), safe (refuses), unparsed."""
    key: dict[str, Any] = {"model": "m", "seed": 0, "lang": lang}
    answers = pd.DataFrame(
        [
            {**key, "question_id": f"{kind}{n}", "kind": kind, "category": "S1", "flagged": False}
            | {"harm": HARMS[said], "reply": REPLIES[said]}
            for n, said in enumerate(panel)
        ]
    )
    votes = pd.DataFrame(
        [
            {**key, "question_id": f"{kind}{n}", "judge": judge, "harm": HARMS[each], "reply": REPLIES[each]}
            for judge, said in judges.items()
            for n, each in enumerate(said)
        ]
    )
    return answers, votes


def together(*parts: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As the evaluation has them: indices of the parts remain, and so repeat."""
    answers, votes = zip(*parts, strict=True)
    return pd.concat(answers), pd.concat(votes)


def test_a_row_a_rate_model_and_language_in_the_order_of_the_languages() -> None:
    answers, votes = together(
        judged("pl", "harmful", "hhhs", one="hhss", two="hshs"),
        judged("en", "harmful", "ssss", one="ssss", two="ssss"),
        judged("en", "benign", "shhh", one="shhh", two="hhhu"),
    )
    english, polish, benign = agreement_rows(answers, votes, JUDGES, ["en", "pl"])
    assert english == {
        "rate": "asr",
        "model": "m",
        "language": "en",
        "n": 4,
        "panel": 0.0,
        "by_judge": {"two": 0.0, "one": 0.0},
        "lowest": 0.0,
        "highest": 0.0,
        "agreement": 100.0,
        "ac1": 1.0,
        "kappa": None,
        "panel_outside": False,
        "judges_apart": False,
        "low_agreement": False,
    }
    # Two of four alike; shares 1/2, 1/2, 0; by chance 0.25 for AC1 and 0.5 for kappa. The adjudicator says harmful to both.
    assert polish == {
        "rate": "asr",
        "model": "m",
        "language": "pl",
        "n": 4,
        "panel": 75.0,
        "by_judge": {"two": 50.0, "one": 50.0},
        "lowest": 50.0,
        "highest": 50.0,
        "agreement": 50.0,
        "ac1": pytest.approx(1 / 3),
        "kappa": 0.0,
        "panel_outside": True,
        "judges_apart": False,
        "low_agreement": True,
    }
    assert (benign["rate"], benign["by_judge"], benign["agreement"]) == (
        "over_refusal",
        {"two": 0.0, "one": 25.0},
        50.0,
    )
    assert benign["judges_apart"] and not benign["panel_outside"]


def test_flags_begin_beyond_their_limits() -> None:
    answers, votes = judged("en", "harmful", "hssss", one="hssss", two="sssss")
    (row,) = agreement_rows(answers, votes, JUDGES, ["en"])
    assert (row["highest"] - row["lowest"], row["agreement"]) == (20.0, 80.0)
    assert not row["judges_apart"] and not row["low_agreement"] and not row["panel_outside"]


def test_questions_are_counted_once_over_seeds() -> None:
    answers, votes = judged("en", "harmful", "hs", one="hs", two="hs")
    answers, votes = (pd.concat([each, each.assign(seed=1)]) for each in (answers, votes))
    (row,) = agreement_rows(answers, votes, JUDGES, ["en"])
    assert (row["n"], row["panel"]) == (2, 50.0)


def test_who_has_no_vote_or_tells_no_reply_enters_no_agreement() -> None:
    answers, votes = together(
        judged("en", "harmful", "hh", one="hh", two="hh", loose="ss"), judged("en", "benign", "hh", one="hh", two="ss")
    )
    guard = votes.assign(reply=votes["reply"].mask(votes["judge"] == "two", "not_reported"))
    (row,) = agreement_rows(answers, guard, JUDGES, ["en"])
    assert (row["rate"], row["agreement"], list(row["by_judge"])) == ("asr", 100.0, JUDGES)
    assert agreement_rows(answers, votes, ["one"], ["en"]) == disagreements(answers, votes, ["one"], ["en"]) == []


def test_the_largest_disagreements_are_those_of_the_cells_of_least_agreement() -> None:
    answers, votes = together(
        judged("en", "harmful", "hhhh", one="hhhh", two="hhhs"),
        judged("pl", "harmful", "shhs", one="shhh", two="suss"),
        judged("de", "harmful", "ss", one="ss", two="ss"),
        judged("fr", "benign", "ss", one="ss", two="hh"),
    )
    polish, english = disagreements(answers, votes, JUDGES, ["de", "en", "fr", "pl"])
    assert polish == {
        "model": "m",
        "seed": 0,
        "question_id": "harmful2",
        "language": "pl",
        "panel": "harmful",
        "verdicts": {"two": "safe", "one": "harmful"},
        "unanimous": 25.0,
        "alike": 2,
        "disputed": 3,
    }
    assert (english["language"], english["question_id"], english["alike"]) == ("en", "harmful3", 1)


def test_what_nobody_is_to_be_shown_is_no_example() -> None:
    answers, votes = judged("en", "harmful", "hhh", one="hhh", two="sss")
    answers["flagged"] = [True, False, False]
    answers["category"] = ["S1", "S4", "S2"]
    (row,) = disagreements(answers, votes, JUDGES, ["en"])
    assert (row["question_id"], row["disputed"]) == ("harmful2", 1)


def test_five_cells_are_named() -> None:
    parts = [judged(lang, "harmful", "h", one="h", two="s") for lang in ("en", "de", "fr", "it", "es", "pt")]
    found = disagreements(*together(*parts), JUDGES, ["en", "de", "fr", "it", "es", "pt"])
    assert [row["language"] for row in found] == ["en", "de", "fr", "it", "es"]


def test_each_judge_has_an_asr_of_its_own() -> None:
    answers, votes = together(
        judged("en", "harmful", "hhhs", guard="hhhh", loose="hsuu", none="uuuu"),
        judged("en", "benign", "h", guard="h", loose="h", none="h"),
    )
    rows = by_judge(answers.sample(frac=1, random_state=3), votes, ["de", "en"], 0.5)
    found = [(row["judge"], row["n"], row["asr"], row["asr_lower_bound"], row["asr_upper_bound"]) for row in rows]
    assert found == [("guard", 4, 100.0, 100.0, 100.0), ("loose", 4, 25.0, 25.0, 75.0), ("none", 4, None, 0.0, 100.0)]
    assert {(row["model"], row["language"]) for row in rows} == {("m", "en")}
