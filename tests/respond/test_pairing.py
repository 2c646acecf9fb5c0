from collections.abc import Sequence

import pandas as pd
import pytest

from refuseu.respond.interfaces import Question
from refuseu.respond.pairing import pair_up


class FakeRefuser:
    """Refuses by naming what it was asked, but for what it is told not to; remembers what it saw."""

    def __init__(self, *silent: str) -> None:
        self._silent = silent
        self.asked: list[list[Question]] = []

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        self.asked.append(list(questions))
        return [None if each.question_id in self._silent else f"no {each.lang} {each.text}" for each in questions]


def questions(*rows: tuple[str, str, str, str], index: list[int] | None = None) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["question_id", "lang", "kind", "text"], index=index)


def test_harmful_is_refused_and_benign_answered() -> None:
    rows = [("q1", "en", "harmful", "How?"), ("q1", "de", "harmful", "Wie?"), ("q2", "en", "benign", "What?")]
    asked, refuser = questions(*rows, index=[7, 3, 5]), FakeRefuser()
    pairs, rejected = pair_up(asked, ["first", "zweite", "third"], refuser)
    assert pairs.to_dict("records") == [
        {
            "question_id": "q1",
            "lang": "en",
            "kind": "harmful",
            "text": "How?",
            "chosen": "no en How?",
            "rejected": "first",
        },
        {
            "question_id": "q1",
            "lang": "de",
            "kind": "harmful",
            "text": "Wie?",
            "chosen": "no de Wie?",
            "rejected": "zweite",
        },
        {
            "question_id": "q2",
            "lang": "en",
            "kind": "benign",
            "text": "What?",
            "chosen": "third",
            "rejected": "no en What?",
        },
    ]
    assert rejected.empty
    assert refuser.asked == [
        [Question("q1", "en", "How?"), Question("q1", "de", "Wie?"), Question("q2", "en", "What?")]
    ]
    assert list(asked.columns) == ["question_id", "lang", "kind", "text"]


def test_every_question_needs_an_answer() -> None:
    with pytest.raises(ValueError, match="Length of values"):
        pair_up(questions(("q1", "en", "harmful", "How?")), [], FakeRefuser())


def test_no_questions() -> None:
    pairs, rejected = pair_up(questions(), [], FakeRefuser())
    assert (len(pairs), list(pairs.columns)) == (0, ["question_id", "lang", "kind", "text", "chosen", "rejected"])
    assert (len(rejected), list(rejected.columns)) == (0, ["question_id", "lang", "reason"])


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_questions_without_an_answer_or_a_refusal_are_rejected(kind: str) -> None:
    rows = [("q1", "en", kind, "One?"), ("q2", "de", kind, "Zwei?"), ("q3", "en", kind, "Three?")]
    kept, rejected = pair_up(questions(*rows), ["yes", "ja", ""], FakeRefuser("q2"))
    assert kept["question_id"].tolist() == ["q1"]
    assert rejected.to_dict("records") == [
        {"question_id": "q2", "lang": "de", "reason": "empty answer"},
        {"question_id": "q3", "lang": "en", "reason": "empty answer"},
    ]
