from pathlib import Path

import pytest
import yaml

from refuseu.evaluation.knowledge import Choice, choices, margin
from refuseu.phrasebook import Phrasebook, load_phrasebooks
from refuseu.taxonomy import LANGUAGES

ROOT = Path(__file__).parent.parent.parent


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
    assert len(found) == 12 * len(real["en"].facts)
    assert [choice for choice in found if len(set(choice.options)) != 4] == []
