from pathlib import Path

import pytest
from parameter_files import Content
from planned import books_of, changed
from twelve import TWELVE

from refuseu.commands.parameters import Parameters
from refuseu.commands.plan.lengths import (
    OTHER_LANGUAGE,
    QUESTION_WORDS,
    REFUSAL_WORDS,
    TOKENS_PER_WORD,
    lengths_of,
    mean_words,
    question_words,
    tokens_per_word,
)


@pytest.fixture
def smoke(tmp_path: Path) -> Parameters:
    return changed(tmp_path, lambda params, profile: None)


def test_words() -> None:
    assert mean_words(["one two", "one two three four"]) == 3


def test_the_phrasebooks_texts_have_the_phrasebooks_words(smoke: Parameters) -> None:
    books = books_of(smoke)
    lengths = lengths_of(smoke, books)
    assert lengths.question["de"] == pytest.approx(question_words(books["de"]) * 1.9)
    assert lengths.refusal["lv"] == pytest.approx(mean_words(books["lv"].refusals) * 2.1)


def test_an_llms_texts_are_as_long_as_is_assumed_in_each_languages_proportion(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["base"] = {"kind": "gguf"}
        profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
        profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9}
        profile["respond"]["refuser"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9}

    parameters = changed(tmp_path, edit)
    books = books_of(parameters)
    lengths = lengths_of(parameters, books)
    assert lengths.question["en"] == pytest.approx(QUESTION_WORDS * 1.2)
    assert lengths.refusal["en"] == pytest.approx(REFUSAL_WORDS * 1.2)
    proportion = question_words(books["lt"]) / question_words(books["en"])
    assert lengths.question["lt"] == pytest.approx(QUESTION_WORDS * proportion * 3.3)


def test_texts_are_cut_language_by_language(smoke: Parameters) -> None:
    lengths = lengths_of(smoke, books_of(smoke))
    assert lengths.mean({"en": 10.0, "de": 30.0}) == 20
    assert lengths.mean({"en": 10.0, "de": 30.0}, most=20) == 15


def test_every_language_of_the_paper_has_its_tokens_and_a_new_one_a_guess(smoke: Parameters) -> None:
    assert TOKENS_PER_WORD.keys() >= TWELVE
    assert tokens_per_word("nb", smoke) == OTHER_LANGUAGE[1]
