import math
from collections.abc import Sequence

import pandas as pd
import pytest

from refuseu.eval.interfaces import Rating
from refuseu.eval.rated import Rated, chosen, drawn, rating_columns
from refuseu.judges.verdict import Exchange


class FakeRater:
    """Gives a mark for each letter of an answer, and none to a question mark; remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        self.seen += [each.answer or "" for each in exchanges]
        return [None if each.answer == "?" else Rating(len(each.answer or ""), 5) for each in exchanges]


def questions(*kinds: str) -> pd.DataFrame:
    """A question of each kind, all in English."""
    return pd.DataFrame([{"question_id": f"q{place}", "lang": "en", "kind": kind} for place, kind in enumerate(kinds)])


def answered(*answers: str) -> list[Exchange]:
    return [Exchange("en", "How?", answer) for answer in answers]


def test_what_was_not_asked_for_and_what_could_not_be_read_are_told_apart() -> None:
    rater = FakeRater()
    asked = questions("benign", "harmful", "benign")
    columns = rating_columns(asked, answered("abc", "ab", "?"), Rated(rater, 50))
    assert rater.seen == ["abc", "?"]
    assert columns["rated"] == [True, None, False]
    assert list(columns["rated_fluency"]) == pytest.approx([3.0, math.nan, math.nan], nan_ok=True)
    assert list(columns["rated_correctness"]) == pytest.approx([5.0, math.nan, math.nan], nan_ok=True)


def test_where_nobody_rates_there_is_nothing() -> None:
    columns = rating_columns(questions("benign", "benign"), answered("a", "b"), None)
    assert columns["rated"] == [None, None]
    assert all(map(math.isnan, [*columns["rated_fluency"], *columns["rated_correctness"]]))


def test_harmful_questions_are_rated_only_where_there_are_no_others() -> None:
    assert chosen(questions("harmful", "benign", "harmful"), 5) == [1]
    assert chosen(questions("harmful", "harmful"), 5) == [0, 1]
    assert len(chosen(questions("harmful", *["benign"] * 9), 4)) == 4


def test_the_same_questions_are_drawn_in_every_language_and_in_whatever_order() -> None:
    ids = [f"q{number}" for number in range(80)]
    questions = [(each, lang) for lang in ("en", "pl") for each in ids]
    places = drawn([each for each, _ in questions], [lang for _, lang in questions], 50)
    chosen = [questions[place] for place in places]
    assert places == sorted(places)
    assert [sum(each == lang for _, each in chosen) for lang in ("en", "pl")] == [50, 50]
    assert {each for each, lang in chosen if lang == "en"} == {each for each, lang in chosen if lang == "pl"}
    mixed = questions[::-1]
    again = [mixed[place] for place in drawn([each for each, _ in mixed], [lang for _, lang in mixed], 50)]
    assert set(again) == set(chosen)


def test_a_language_with_few_questions_gives_all_of_them() -> None:
    assert drawn(["b", "a", "b"], ["en", "en", "pl"], 5) == [0, 1, 2]
    assert drawn([], [], 5) == []
