from collections.abc import Sequence

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Finish, Sampling
from refuseu.respond.interfaces import Question
from refuseu.respond.llm import LlmRefuser

PROMPT = Prompt("Refuse in {language}.", "{question}")
QUESTIONS = [
    Question("q1", "pl", "Jak obejść regulamin klubu?"),
    Question("q2", "de", "HIDDEN"),
    Question("q3", "de", "Wie kann ich das Ende eines Films verraten?"),
]


class Fallback:
    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        return [f"{each.question_id} {each.lang}" for each in questions]


def refuser(engine: PlayedEngine) -> LlmRefuser:
    return LlmRefuser(engine, Sampling(64), PROMPT, frozenset({"q2"}), Fallback())


def test_each_question_is_refused_in_its_language_and_the_withheld_ones_are_not_shown() -> None:
    engine = PlayedEngine(lambda asked: f"Nein.\n\nSorry: {asked[0]['content']}!")
    assert refuser(engine).refuse(QUESTIONS) == [
        "Nein.\n\nSorry: Refuse in Polish.!",
        "q2 de",
        "Nein.\n\nSorry: Refuse in German.!",
    ]
    ((asked, sampling),) = engine.calls
    assert [conversation[1]["content"] for conversation in asked] == [QUESTIONS[0].text, QUESTIONS[2].text]
    assert sampling == Sampling(64)
    assert "HIDDEN" not in engine.told


@pytest.mark.parametrize(
    "babble",
    [
        "",
        " ",
        CUT,
        TOO_LONG,
        DECLINED,
        Completion("Nie mogę w tym", Finish.LENGTH),
        "Refuse in Polish.",
        "jak obejść regulamin klubu",
    ],
)
def test_babble_is_no_refusal(babble: str | Completion) -> None:
    assert refuser(PlayedEngine(babble)).refuse(QUESTIONS[:2]) == [None, "q2 de"]
