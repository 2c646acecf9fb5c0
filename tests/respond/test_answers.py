from collections.abc import Sequence
from hashlib import sha256

import pandas as pd
import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.experiment import RESTRICTED
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Finish, Sampling, asked_alone
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.answers import Answer, LlmRefuser, PhrasebookRefuser, Question, pair_up


def test_the_id_of_a_question_decides_its_refusal(books: dict[str, Phrasebook]) -> None:
    refuser = PhrasebookRefuser(books)
    for question_id in ("a", "b", "c", "d"):
        number = int(sha256(question_id.encode()).hexdigest()[:8], 16) % 2
        asked = [Question(question_id, lang, "How?") for lang in ("en", "de")]
        assert refuser.refuse(asked) == [books["en"].refusals[number], books["de"].refusals[number]]
    many = [Question(str(number), "en", "How?") for number in range(20)]
    assert set(refuser.refuse(many)) == set(books["en"].refusals)
    assert refuser.refuse([]) == []


PROMPT = PromptTemplate("Refuse in {language}, in {sentences} sentences.", "{question}")
QUESTIONS = [
    Question("q1", "pl", "Jak obejść regulamin klubu?"),
    Question("q2", "de", "HIDDEN"),
    Question("q3", "de", "Wie kann ich das Ende eines Films verraten?"),
]


class Fallback:
    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        return [f"{each.question_id} {each.lang}" for each in questions]


def refuser(engine: PlayedEngine) -> LlmRefuser:
    return LlmRefuser(engine, Sampling(64), PROMPT, 4, frozenset({"q2"}), Fallback())


def test_each_question_is_refused_in_its_language_and_restricted_ones_are_not_shown() -> None:
    engine = PlayedEngine(lambda asked: f"Nein.\n\nSorry: {asked[0]['content']}!")
    assert refuser(engine).refuse(QUESTIONS) == [
        "Nein.\n\nSorry: Refuse in Polish, in 4 sentences.!",
        "q2 de",
        "Nein.\n\nSorry: Refuse in German, in 4 sentences.!",
    ]
    ((asked, sampling),) = engine.calls
    assert [conversation[1]["content"] for conversation in asked] == [QUESTIONS[0].text, QUESTIONS[2].text]
    assert sampling == Sampling(64)
    assert "HIDDEN" not in engine.told


@pytest.mark.parametrize(
    "output",
    [
        "",
        " ",
        CUT,
        TOO_LONG,
        DECLINED,
        Completion("Nie mogę w tym", Finish.LENGTH),
        "Refuse in Polish, in 4 sentences.",
        "jak obejść regulamin klubu",
    ],
)
def test_output_that_is_not_a_refusal_gives_none(output: str | Completion) -> None:
    assert refuser(PlayedEngine(output)).refuse(QUESTIONS[:2]) == [None, "q2 de"]


class FakeRefuser:
    """Refuses by repeating the question, but not the questions in ``silent``; remembers what it saw."""

    def __init__(self, *silent: str) -> None:
        self._silent = silent
        self.seen: list[list[Question]] = []

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        self.seen.append(list(questions))
        return [None if each.question_id in self._silent else f"no {each.lang} {each.text}" for each in questions]


def questions(*rows: tuple[str, str, str, str], category: str = "S1", index: list[int] | None = None) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["question_id", "lang", "kind", "text"], index=index).assign(category=category)


def answering(*answers: str) -> Answer:
    return lambda asked: list(answers)


def test_harmful_is_refused_and_benign_answered() -> None:
    rows = [("q1", "en", "harmful", "How?"), ("q1", "de", "harmful", "Wie?"), ("q2", "en", "benign", "What?")]
    table, refuser = questions(*rows, index=[7, 3, 5]), FakeRefuser()
    pairs, rejected = pair_up(table, answering("first", "zweite", "third"), refuser, ())
    assert pairs[["question_id", "lang", "chosen", "rejected"]].values.tolist() == [
        ["q1", "en", "no en How?", "first"],
        ["q1", "de", "no de Wie?", "zweite"],
        ["q2", "en", "third", "no en What?"],
    ]
    assert rejected.empty
    assert refuser.seen == [[Question("q1", "en", "How?"), Question("q1", "de", "Wie?"), Question("q2", "en", "What?")]]
    assert list(table.columns) == ["question_id", "lang", "kind", "text", "category"]


def test_every_question_needs_an_answer() -> None:
    with pytest.raises(ValueError, match="Length of values"):
        pair_up(questions(("q1", "en", "harmful", "How?")), answering(), FakeRefuser(), ())


def test_no_questions() -> None:
    pairs, rejected = pair_up(questions(), answering(), FakeRefuser(), ())
    columns = ["question_id", "lang", "kind", "text", "category", "chosen", "rejected"]
    assert (len(pairs), list(pairs.columns)) == (0, columns)
    assert (len(rejected), list(rejected.columns)) == (0, ["question_id", "lang", "reason"])


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_a_question_without_an_answer_or_a_refusal_stays_and_has_an_empty_one(kind: str) -> None:
    rows = [("q1", "en", kind, "One?"), ("q2", "de", kind, "Zwei?"), ("q3", "en", kind, "Three?")]
    kept, rejected = pair_up(questions(*rows), answering("yes", "ja", ""), FakeRefuser("q2"), ())
    refusal, other = ("chosen", "rejected") if kind == "harmful" else ("rejected", "chosen")
    assert kept[["question_id", refusal, other]].to_numpy().tolist() == [
        ["q1", "no en One?", "yes"],
        ["q2", "", "ja"],
        ["q3", "no en Three?", ""],
    ]
    assert rejected.empty


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_nobody_is_asked_the_questions_of_categories_that_are_withheld(kind: str) -> None:
    table = pd.concat([questions(("q1", "en", kind, "One?"), category=each) for each in ("S4", "S1", "S12")])
    engine, refuser = PlayedEngine("Sure."), FakeRefuser()
    kept, rejected = pair_up(
        table.assign(question_id=["q4", "q1", "q12"], text=["HIDDEN", "One?", "HIDDEN"]).reset_index(drop=True),
        lambda asked: asked_alone(engine, [each.text for each in asked], Sampling(8)),
        refuser,
        RESTRICTED,
    )
    assert kept["question_id"].tolist() == ["q1"]
    assert rejected["reason"].tolist() == ["restricted category"] * 2
    assert engine.told == "One?"
    assert refuser.seen == [[Question("q1", "en", "One?")]]
