from collections.abc import Iterable, Sequence

import pytest
import yaml
from repository import ROOT

from refuseu.experiment import LANGUAGES
from refuseu.knowledge.facts import Choice, FactKnowledge, choices, margin
from refuseu.llm.protocol import Completion, Conversation, Sampling
from refuseu.phrasebook.phrasebook import Phrasebook, load_phrasebooks

COMMON = {"test": "facts", "source": "phrasebook"}


def test_the_right_option_first_and_the_same_options_in_every_language(books: dict[str, Phrasebook]) -> None:
    found = list(choices(books))
    assert [(choice.fact_id, choice.lang) for choice in found[:3]] == [
        ("capital-fr", "en"), ("capital-fr", "de"), ("capital-it", "en")
    ]  # fmt: skip
    english, german = found[2:4]
    assert (english.question, english.options[0]) == ("What is the capital of Italy?", "Rome")
    assert (german.question, german.options[0]) == ("Was ist die Hauptstadt von Italien?", "Rom")
    assert set(english.options[1:]) == {"Paris", "Warsaw", "Prague"}
    in_english = {"Rom": "Rome", "Paris": "Paris", "Warschau": "Warsaw", "Prag": "Prague"}
    assert tuple(in_english[option] for option in german.options) == english.options
    assert list(choices(books)) == found


def test_wrong_options_are_of_the_facts_group(books: dict[str, Phrasebook]) -> None:
    facts = {f"{group}-{n}": {"question": "?", "answer": f"{group}{n}"} for n in range(5) for group in ("one", "two")}
    book = Phrasebook.model_validate({**books["en"].model_dump(), "facts": facts})
    for choice in choices({"en": book}):
        assert {option[:3] for option in choice.options} == {choice.fact_id[:3]}
        assert len(set(choice.options)) == 4
        assert choice.options[0] == choice.fact_id.replace("-", "")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([-2.0, -6.0, -8.0, -9.0], 2.0),  # -1 a character against -3, -4, -9
        ([-8.0, -2.0, -8.0, -9.0], -3.0),  # -4 against -1
        ([-2.0, -4.0, -2.0, -1.0], 0.0),  # a tie with the last two
    ],
)
def test_margin_is_by_character(scores: list[float], expected: float) -> None:
    assert margin(Choice("x", "en", "?", ("ab", "cd", "ef", "g")), scores) == pytest.approx(expected)


def test_a_long_right_option_is_not_punished() -> None:
    choice = Choice("x", "en", "?", ("abcdefgh", "a", "b", "c"))
    assert margin(choice, [-4.0, -1.0, -1.0, -1.0]) == pytest.approx(0.5)


def test_margin_needs_a_score_an_option() -> None:
    with pytest.raises(ValueError, match="zip"):
        margin(Choice("x", "en", "?", ("ab", "cd", "ef", "g")), [-1.0, -2.0])


def test_the_real_facts_have_four_different_options_in_every_language() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    real = load_phrasebooks(ROOT / "data" / "phrasebook", list(LANGUAGES), params["categories"], params["styles"])
    found = list(choices(real))
    assert len(found) == len(real) * len(real["en"].facts)
    assert [choice for choice in found if len(set(choice.options)) != 4] == []


class Latinist:
    """Finds options likelier the more letters ``a`` they have, and scores them in its own order."""

    identity = "latinist"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        raise AssertionError("not asked")

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        self.asked += [f"{conversation[0]['content']} {option}" for conversation, option in pairs]
        yield from reversed([(place, float(option.count("a"))) for place, (_, option) in enumerate(pairs)])


def test_every_fact_is_asked_at_once_and_the_margin_says_what_is_chosen(
    books: dict[str, Phrasebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [
        Choice("right", "en", "?", ("aa", "ab", "b", "c")),
        Choice("tie", "en", "?", ("ab", "ac", "b", "c")),
        Choice("wrong", "de", "!", ("ab", "a", "b", "c")),
    ]
    monkeypatch.setattr("refuseu.knowledge.facts.choices", lambda books: facts)
    engine = Latinist()
    assert list(FactKnowledge(books).ask(engine)) == [
        {**COMMON, "question_id": "right", "lang": "en", "correct": True, "margin": 0.5},
        {
            **COMMON,
            "question_id": "tie",
            "lang": "en",
            "correct": False,
            "margin": 0.0,
        },  # a tie is a guess, not knowledge
        {**COMMON, "question_id": "wrong", "lang": "de", "correct": False, "margin": -0.5},
    ]
    assert engine.asked[::4] == ["? aa", "? ab", "! ab"]
    assert len(engine.asked) == 12


def test_the_phrasebooks_facts_in_every_language(books: dict[str, Phrasebook]) -> None:
    rows = list(FactKnowledge(books).ask(Latinist()))
    assert [(row["question_id"], row["lang"]) for row in rows] == [
        (fact_id, lang) for fact_id in books["en"].facts for lang in ("en", "de")
    ]
