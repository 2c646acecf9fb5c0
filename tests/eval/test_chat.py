import json

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Finish, Sampling
from refuseu.eval.chat import ChatFluency, parsed
from refuseu.eval.interfaces import Rating
from refuseu.judges.verdict import Exchange

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
