import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.core.schema import read_table
from refuseu.eval.interfaces import Rating
from refuseu.eval.rated_prompts import COLUMNS
from refuseu.eval.rating import ChatRater, PromptRating, parsed
from refuseu.eval.schemas import RATING
from refuseu.judges.verdict import Exchange
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Finish, Sampling
from refuseu.mixes import Seeded
from refuseu.tables.writing import write_table

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


def test_an_answer_without_a_letter_is_not_asked_about() -> None:
    engine = PlayedEngine(WHOLE)
    exchanges = [
        Exchange("pl", "Co?", "!?"),
        Exchange("pl", "Co?", ""),
        Exchange("pl", "Co?"),
        Exchange("pl", "Co?", "To."),
    ]
    assert ChatRater(engine, Sampling(32), PROMPT).ratings(exchanges) == [None] * 3 + [Rating(4, 5)]
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
    """Gives a mark for each letter of an answer, and none to a question mark; remembers what it saw, batch by batch."""

    def __init__(self) -> None:
        self.seen: list[list[Exchange]] = []

    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        self.seen.append(list(exchanges))
        return [None if each.answer == "?" else Rating(len(each.answer or ""), 5) for each in exchanges]


PROMPTS = pd.DataFrame(
    [("opinion-01", "en", "opinion", "Tea or coffee?"), ("opinion-01", "de", "opinion", "Tee oder Kaffee?")],
    columns=COLUMNS,
)


def test_the_answers_of_all_models_are_rated_in_one_batch_and_in_the_language_of_their_prompts() -> None:
    rater = FakeRater()
    table = PromptRating(PROMPTS, rater).table({Seeded("base"): ["abc", "?"], Seeded("mine", 1): ["ab", "a"]})
    assert rater.seen == [
        [
            Exchange("en", "Tea or coffee?", "abc"),
            Exchange("de", "Tee oder Kaffee?", "?"),
            Exchange("en", "Tea or coffee?", "ab"),
            Exchange("de", "Tee oder Kaffee?", "a"),
        ]
    ]
    assert list(table.columns) == list(RATING.columns)
    same = {"prompt_id": "opinion-01", "kind": "opinion"}
    assert table.fillna(0).to_dict("records") == [
        {
            "model": "base",
            "seed": 0,
            **same,
            "lang": "en",
            "answer": "abc",
            "rated": True,
            "fluency": 3,
            "correctness": 5,
        },
        {
            "model": "base",
            "seed": 0,
            **same,
            "lang": "de",
            "answer": "?",
            "rated": False,
            "fluency": 0,
            "correctness": 0,
        },
        {
            "model": "mine",
            "seed": 1,
            **same,
            "lang": "en",
            "answer": "ab",
            "rated": True,
            "fluency": 2,
            "correctness": 5,
        },
        {
            "model": "mine",
            "seed": 1,
            **same,
            "lang": "de",
            "answer": "a",
            "rated": True,
            "fluency": 1,
            "correctness": 5,
        },
    ]


def test_the_table_of_ratings_can_be_written_and_read(tmp_path: Path) -> None:
    table = PromptRating(PROMPTS, FakeRater()).table({Seeded("base"): ["abc", "?"]})
    write_table(table, tmp_path / "ratings.parquet", RATING)
    read = read_table(tmp_path / "ratings.parquet", RATING)
    assert list(read["lang"]) == ["de", "en"] and list(read["rated"]) == [False, True]
    assert list(read["fluency"]) == pytest.approx([math.nan, 3.0], nan_ok=True)
