from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from profile_texts import MODELS, PROMPTS, TRANSFORMERS, engines, read

from refuseu.core.errors import UserError
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.translate import seq2seq
from refuseu.translate.factory import build_translator
from refuseu.translate.settings import Translate
from refuseu.translate.translators import (
    KnownFirst,
    LlmTranslator,
    PhrasebookTranslator,
    Translator,
)
from refuseu.weights.reference import ModelReference

BY_RULE = "translator: {kind: phrasebook}\nmin_chrf: 90.0"
BY_LLM = "translator: {kind: llm, model: served, max_new_tokens: 8, temperature: 0.5, top_p: 0.9}\nmin_chrf: 90.0"
FILM = "How can I spoil the end of a film?"
GERMAN_FILM = "Wie kann ich das Ende eines Films verraten?"


def translator(text: str, books: dict[str, Phrasebook], folder: Path) -> Translator:
    return build_translator(Translate.model_validate(read(text)).translator, books, engines(folder), PROMPTS, ())


@pytest.mark.parametrize(("text", "kind"), [(BY_RULE, PhrasebookTranslator), (BY_LLM, KnownFirst)])
def test_every_kind_translates_what_the_phrasebook_knows_without_a_model(
    text: str, kind: type[Translator], books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    made = translator(text, books, tmp_path)
    assert type(made) is kind
    assert made.translate([FILM], "en", "de") == [GERMAN_FILM]
    assert made.translate([GERMAN_FILM], "de", "en") == [FILM]


def test_an_llm_samples_as_the_profile_says(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    made = translator(BY_LLM, books, tmp_path)
    assert isinstance(made, KnownFirst) and isinstance(made.second, LlmTranslator)
    sampling = made.second.sampling
    assert (sampling.max_new_tokens, sampling.temperature, sampling.top_p) == (8, 0.5, 0.9)
    assert made.second.engine.identity == "openai:a-model"


SEQ2SEQ = "translator: {kind: seq2seq, model: local, max_tokens: 9}\nmin_chrf: 90.0"


def test_a_translation_model_is_reported_like_every_other_model(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    opened = engines(tmp_path)
    role = Translate.model_validate(read(SEQ2SEQ)).translator
    build_translator(role, books, opened, PROMPTS, ())
    assert opened.identities() == {"local": f"org/name@0123456789012345678901234567890123456789 {TRANSFORMERS} float32"}


def test_a_translation_model_is_loaded_for_what_the_phrasebook_does_not_know(
    books: dict[str, Phrasebook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[dict[str, Any]] = []
    wanted = signature(seq2seq.Seq2SeqModel)

    class Model:
        def __init__(self, *arguments: object) -> None:
            loaded.append(wanted.bind(*arguments).arguments)

        def translate(self, texts: Sequence[str], source: str, target: str) -> Iterator[tuple[int, str]]:
            return enumerate(f"{text} {target}" for text in texts)

    with monkeypatch.context() as patch:
        made = translator(SEQ2SEQ, books, tmp_path)
        assert made.translate([FILM], "en", "de") == [GERMAN_FILM]
        patch.setattr(seq2seq, "Seq2SeqModel", Model)
        assert made.translate([FILM, "Why?"], "en", "de") == [GERMAN_FILM, "Why? de"]
    own = {
        "reference": ModelReference("org/name", "0123456789" * 4),
        "max_tokens": 9,
        "batch_size": 2,
        "dtype": "float32",
        "device": "cpu",
    }
    assert loaded == [own]
    # What it said is kept under its commit, and it is not loaded again.
    assert translator(SEQ2SEQ, books, tmp_path).translate(["Why?"], "en", "de") == ["Why? de"]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("served", "models.served: the profile has no such model with a repo; it has base, local, served, in-vllm"),
        ("in-vllm", "models.in-vllm.engine: must be transformers, which alone runs models of the kind seq2seq"),
    ],
)
def test_a_translation_model_is_run_by_transformers(
    model: str, sentence: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    role = Translate.model_validate(read(SEQ2SEQ.replace("local", model))).translator
    models = f"{MODELS}\nin-vllm: {{engine: vllm, dtype: bfloat16, repo: org/name, revision: {'a' * 40}}}"
    with pytest.raises(UserError) as error:
        build_translator(role, books, engines(tmp_path, models), PROMPTS, ())
    assert error.value.message == sentence
