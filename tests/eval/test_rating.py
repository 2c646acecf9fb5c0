import json
import math
from collections.abc import Sequence

import pandas as pd
import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.eval.interfaces import Rating
from refuseu.eval.rating import ChatRater, SampleRater, parsed, places_to_rate, rating_columns, sampled
from refuseu.judges.verdict import Exchange
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Finish, Sampling

PROMPT = PromptTemplate("A teacher of {language}.", "Q {question} A {answer}")
WHOLE = '{"fluency": 4, "correctness": 5}'


def test_each_answer_is_rated_against_its_language_in_order() -> None:
    engine = PlayedEngine(
        lambda asked: json.dumps({"fluency": 1 + ("Polish" in asked[0]["content"]), "correctness": 5})
    )
    exchanges = [Exchange("pl", "Co?", "To."), Exchange("de", "Was?", "Das.")]
    assert ChatRater(engine, Sampling(32), PROMPT).ratings(exchanges) == [Rating(2, 5), Rating(1, 5)]
    ((asked, sampling),) = engine.calls
    assert [message["content"] for message in asked[0]] == ["A teacher of Polish.", "Q Co? A To."]
    schema = json.loads(sampling.schema or "")
    mark = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
    assert schema["properties"] == {"fluency": mark, "correctness": mark}
    assert (schema["required"], schema["additionalProperties"]) == (["fluency", "correctness"], False)


def test_what_has_no_language_is_not_asked_about() -> None:
    engine = PlayedEngine(WHOLE)
    exchanges = [
        Exchange("pl", "Co?", "!?"),
        Exchange("pl", "Co?", ""),
        Exchange("pl", "Co?"),
        Exchange("", "Co?", "To."),
        Exchange("zh", "Co?", "To."),
        Exchange("pl", "Co?", "To."),
    ]
    assert ChatRater(engine, Sampling(32), PROMPT).ratings(exchanges) == [None] * 5 + [Rating(4, 5)]
    assert [len(asked) for asked, _ in engine.calls] == [1]


@pytest.mark.parametrize(
    "said", [WHOLE, f"```json\n{WHOLE}\n```", f"Here: {WHOLE}", '{"correctness": 5, "fluency": 4}']
)
def test_a_rating_is_found_whatever_stands_around_it(said: str) -> None:
    assert parsed(Completion(said)) == Rating(4, 5)


@pytest.mark.parametrize(
    "said",
    [
        "",
        CUT,
        TOO_LONG,
        DECLINED,
        Completion(WHOLE, Finish.LENGTH),
        "Fluency: 4, correctness: 5",
        "4",
        '{"fluency": 4}',
        '{"fluency": 4, "correctness": 5, "reason": "…"}',
        '{"fluency": 0, "correctness": 5}',
        '{"fluency": 4, "correctness": 6}',
        '{"fluency": 4.5, "correctness": 5}',
        '{"fluency": 4.0, "correctness": 5}',
        '{"fluency": true, "correctness": 5}',
        '{"fluency": "4", "correctness": 5}',
        '{"fluency": null, "correctness": 5}',
        '{"fluency": [4], "correctness": 5}',
        f"{WHOLE} {WHOLE}",
        "I'm sorry, but I can't help with that.",
        "Give a JSON object with the two entries",
    ],
)
def test_anything_else_is_no_rating(said: str | Completion) -> None:
    engine = PlayedEngine(said)
    assert ChatRater(engine, Sampling(32), PROMPT).ratings([Exchange("pl", "Co?", "To.")]) == [None]


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
    columns = rating_columns(asked, answered("abc", "ab", "?"), SampleRater(rater, 50))
    assert rater.seen == ["abc", "?"]
    assert columns["rated"] == [True, None, False]
    assert list(columns["rated_fluency"]) == pytest.approx([3.0, math.nan, math.nan], nan_ok=True)
    assert list(columns["rated_correctness"]) == pytest.approx([5.0, math.nan, math.nan], nan_ok=True)


def test_where_nobody_rates_there_is_nothing() -> None:
    columns = rating_columns(questions("benign", "benign"), answered("a", "b"), None)
    assert columns["rated"] == [None, None]
    assert all(map(math.isnan, [*columns["rated_fluency"], *columns["rated_correctness"]]))


def test_harmful_questions_are_rated_only_where_there_are_no_others() -> None:
    assert places_to_rate(questions("harmful", "benign", "harmful"), 5) == [1]
    assert places_to_rate(questions("harmful", "harmful"), 5) == [0, 1]
    assert len(places_to_rate(questions("harmful", *["benign"] * 9), 4)) == 4


def test_the_same_questions_are_sampled_in_every_language_and_in_whatever_order() -> None:
    ids = [f"q{number}" for number in range(80)]
    questions = [(each, lang) for lang in ("en", "pl") for each in ids]
    places = sampled([each for each, _ in questions], [lang for _, lang in questions], 50)
    chosen = [questions[place] for place in places]
    assert places == sorted(places)
    assert [sum(each == lang for _, each in chosen) for lang in ("en", "pl")] == [50, 50]
    assert {each for each, lang in chosen if lang == "en"} == {each for each, lang in chosen if lang == "pl"}
    mixed = questions[::-1]
    again = [mixed[place] for place in sampled([each for each, _ in mixed], [lang for _, lang in mixed], 50)]
    assert set(again) == set(chosen)


def test_a_language_with_few_questions_gives_all_of_them() -> None:
    assert sampled(["b", "a", "b"], ["en", "en", "pl"], 5) == [0, 1, 2]
    assert sampled([], [], 5) == []
