from pathlib import Path

import pytest
from profile_texts import PROMPTS, opener, read

from refuseu.parameters.translate import Translate
from refuseu.phrasebook import Phrasebook
from refuseu.translation.cast import translator_of
from refuseu.translation.known import KnownFirst
from refuseu.translation.llm import LlmTranslator
from refuseu.translation.parts import Translator
from refuseu.translation.phrasebook import PhrasebookTranslator

BY_RULE = "translator: {kind: phrasebook}\nmin_chrf: 90.0"
BY_LLM = "translator: {kind: llm, model: served, max_new_tokens: 8, temperature: 0.5, top_p: 0.9}\nmin_chrf: 90.0"
FILM = "How can I spoil the end of a film?"
GERMAN_FILM = "Wie kann ich das Ende eines Films verraten?"


def translator(text: str, books: dict[str, Phrasebook], folder: Path) -> Translator:
    return translator_of(Translate.model_validate(read(text)), books, opener(folder), PROMPTS)


@pytest.mark.parametrize(("text", "kind"), [(BY_RULE, PhrasebookTranslator), (BY_LLM, KnownFirst)])
def test_every_kind_translates_what_the_phrasebook_knows_without_a_model(
    text: str, kind: type[Translator], books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    made = translator(text, books, tmp_path)
    assert type(made) is kind
    assert made.translate([FILM], "en", "de") == [GERMAN_FILM]
    assert made.translate([GERMAN_FILM], "de", "en") == [FILM]


def test_an_llm_draws_as_the_profile_says(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    made = translator(BY_LLM, books, tmp_path)
    assert isinstance(made, KnownFirst) and isinstance(made.second, LlmTranslator)
    sampling = made.second.sampling
    assert (sampling.max_new_tokens, sampling.temperature, sampling.top_p) == (8, 0.5, 0.9)
    assert made.second.engine.identity == "openai:a-model"
