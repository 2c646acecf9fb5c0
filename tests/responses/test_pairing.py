from hashlib import sha256

import pandas as pd
import pytest

from refuseu.phrasebook import Phrasebook
from refuseu.responses.pairing import pair_up, refusal_for, reject_empty


def test_the_question_decides_the_refusal(books: dict[str, Phrasebook]) -> None:
    for question_id in ("a", "b", "c", "d"):
        number = int(sha256(question_id.encode()).hexdigest()[:8], 16) % 2
        assert refusal_for(question_id, books["en"]) == books["en"].refusals[number]
        assert refusal_for(question_id, books["de"]) == books["de"].refusals[number]
    assert {refusal_for(str(number), books["en"]) for number in range(20)} == set(books["en"].refusals)


def test_harmful_is_refused_and_benign_answered(books: dict[str, Phrasebook]) -> None:
    rows = [("q1", "en", "harmful"), ("q1", "de", "harmful"), ("q2", "en", "benign")]
    questions = pd.DataFrame(rows, columns=["question_id", "lang", "kind"], index=[7, 3, 5])
    pairs = pair_up(questions, ["first", "zweite", "third"], books)
    assert pairs.to_dict("records") == [
        {
            "question_id": "q1",
            "lang": "en",
            "kind": "harmful",
            "chosen": refusal_for("q1", books["en"]),
            "rejected": "first",
        },
        {
            "question_id": "q1",
            "lang": "de",
            "kind": "harmful",
            "chosen": refusal_for("q1", books["de"]),
            "rejected": "zweite",
        },
        {
            "question_id": "q2",
            "lang": "en",
            "kind": "benign",
            "chosen": "third",
            "rejected": refusal_for("q2", books["en"]),
        },
    ]
    assert list(questions.columns) == ["question_id", "lang", "kind"]


def test_every_question_needs_an_answer(books: dict[str, Phrasebook]) -> None:
    questions = pd.DataFrame({"question_id": ["q1"], "lang": ["en"], "kind": ["harmful"]})
    with pytest.raises(ValueError, match="Length of values"):
        pair_up(questions, [], books)


def test_no_questions(books: dict[str, Phrasebook]) -> None:
    pairs = pair_up(pd.DataFrame({"question_id": [], "lang": [], "kind": []}), [], books)
    assert (len(pairs), list(pairs.columns)) == (0, ["question_id", "lang", "kind", "chosen", "rejected"])


def test_pairs_without_an_answer_are_rejected() -> None:
    pairs = pd.DataFrame(
        {
            "question_id": ["q1", "q2", "q3"],
            "lang": ["en", "de", "en"],
            "chosen": ["no", "", "no"],
            "rejected": ["yes", "no", ""],
        }
    )
    kept, rejected = reject_empty(pairs)
    assert kept["question_id"].tolist() == ["q1"]
    assert rejected.to_dict("records") == [
        {"question_id": "q2", "lang": "de", "reason": "empty answer"},
        {"question_id": "q3", "lang": "en", "reason": "empty answer"},
    ]
