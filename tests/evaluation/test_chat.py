import json

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.engines.protocol import Completion, Finish, Sampling
from refuseu.evaluation.chat import ChatFluency, Rating, by_language, drawn, parsed
from refuseu.judges.verdict import Exchange
from refuseu.prompts import Prompt

PROMPT = Prompt("A teacher of {language}.", "Q {question} A {answer}")
WHOLE = '{"fluency": 4, "correctness": 5}'


def test_each_answer_is_rated_against_its_language_in_order() -> None:
    engine = PlayedEngine(
        lambda asked: json.dumps({"fluency": 1 + ("Polish" in asked[0]["content"]), "correctness": 5})
    )
    exchanges = [Exchange("pl", "Co?", "To."), Exchange("de", "Was?", "Das.")]
    assert ChatFluency(engine, Sampling(32), PROMPT).ratings(exchanges) == [Rating(2, 5), Rating(1, 5)]
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
    assert ChatFluency(engine, Sampling(32), PROMPT).ratings(exchanges) == [None] * 5 + [Rating(4, 5)]
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
    assert ChatFluency(engine, Sampling(32), PROMPT).ratings([Exchange("pl", "Co?", "To.")]) == [None]


def test_the_same_questions_are_drawn_in_every_language_and_in_whatever_order() -> None:
    ids = [f"q{number}" for number in range(80)]
    questions = [(each, lang) for lang in ("en", "pl") for each in ids]
    places = drawn([each for each, _ in questions], [lang for _, lang in questions])
    chosen = [questions[place] for place in places]
    assert places == sorted(places)
    assert [sum(each == lang for _, each in chosen) for lang in ("en", "pl")] == [50, 50]
    assert {each for each, lang in chosen if lang == "en"} == {each for each, lang in chosen if lang == "pl"}
    mixed = questions[::-1]
    again = [mixed[place] for place in drawn([each for each, _ in mixed], [lang for _, lang in mixed])]
    assert set(again) == set(chosen)


def test_a_language_with_few_questions_gives_all_of_them() -> None:
    assert drawn(["b", "a", "b"], ["en", "en", "pl"], 5) == [0, 1, 2]
    assert drawn([], []) == []


def test_what_is_unparsed_is_counted_apart_and_enters_no_mean() -> None:
    ratings = [Rating(4, 5), None, Rating(2, 3), None]
    assert by_language(ratings, ["en", "en", "en", "pl"]) == {
        "en": {"rated": 2, "unparsed": 1, "fluency": 3.0, "correctness": 4.0},
        "pl": {"rated": 0, "unparsed": 1, "fluency": None, "correctness": None},
    }
