"""Builds the translator that the profile names."""

from collections.abc import Container
from pathlib import Path
from typing import assert_never

from refuseu.core.errors import UserError
from refuseu.engines.registry import EngineFactory, described, sampling_of
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.settings import PhrasebookRole
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.translate import settings, translators
from refuseu.translate.translators import KnownFirst, PhrasebookTranslator, Translator


def build_translator(
    role: settings.TranslatingRole,
    books: dict[str, Phrasebook],
    engines: EngineFactory,
    prompts: Path,
    restricted: Container[str],
) -> Translator:
    """Build the translator of one kind.

    Args:
        role: the profile's ``translate.translator``.
        books: the phrasebooks by language, which translate the questions that they hold, whatever the kind.
        engines: opens the profile's models.
        prompts: the folder with the prompt of an LLM, ``translation.md``.
        restricted: texts that no model may see.

    Raises:
        UserError: for a model or a prompt that is missing or wrong.
    """
    by_rule = PhrasebookTranslator(books)
    match role:
        case PhrasebookRole():
            return by_rule
        case settings.LlmTranslator():
            prompt = PromptTemplate.read(prompts / "translation.md", translators.PLACEHOLDERS)
            by_llm = translators.LlmTranslator(engines.named(role.model), sampling_of(role), prompt)
            return KnownFirst(by_rule, by_llm, restricted)
        case settings.Seq2SeqTranslator():
            return KnownFirst(by_rule, _seq2seq(role, engines), restricted)
        case _:
            assert_never(role)


def _seq2seq(role: settings.Seq2SeqTranslator, engines: EngineFactory) -> Translator:
    from refuseu.translate import seq2seq

    reference, model = engines.weights(role.model)
    own = model.in_process(engines.machine)
    if own is None:
        raise UserError(
            f"models.{role.model}.engine: must be transformers, which alone runs models of the kind seq2seq"
        )
    engines.loaded_elsewhere[role.model] = described(reference, model)

    def load() -> seq2seq.Seq2SeqModel:
        return seq2seq.Seq2SeqModel(reference, role.max_tokens, own.batch_size, own.dtype, own.device)

    return seq2seq.Seq2SeqTranslator(engines.loaded_elsewhere[role.model], role.max_tokens, load, engines.store)
