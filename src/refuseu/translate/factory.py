"""Who plays the translator."""

from collections.abc import Container
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.engines.registry import EngineFactory, described, sampling_of
from refuseu.engines.settings import TransformersModel
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.translate.interfaces import Translator
from refuseu.translate.known import KnownFirst
from refuseu.translate.phrasebook import PhrasebookTranslator
from refuseu.translate.settings import ByPhrasebook, LlmTranslator, Seq2SeqTranslator, Translate


def build_translator(
    settings: Translate,
    books: dict[str, Phrasebook],
    engines: EngineFactory,
    prompts: Path,
    restricted: Container[str],
    published: PublishedSet,
) -> Translator:
    """The translator that the profile names; ``prompts`` is the folder of what LLMs are told.

    The texts in ``restricted`` reach no model.
    """
    by_rule = PhrasebookTranslator(books)
    match settings.translator:
        case ByPhrasebook():
            return by_rule
        case ByPublished():
            from refuseu.translate.published import PublishedTranslator

            return PublishedTranslator(published)
        case LlmTranslator() as part:
            from refuseu.engines.prompts import Prompt
            from refuseu.translate import llm

            prompt = Prompt.read(prompts / "translation.md", llm.PLACEHOLDERS)
            return KnownFirst(
                by_rule, llm.LlmTranslator(engines.named(part.model), sampling_of(part), prompt), restricted
            )
        case Seq2SeqTranslator() as part:
            return KnownFirst(by_rule, _seq2seq(part, engines), restricted)


def _seq2seq(part: Seq2SeqTranslator, engines: EngineFactory) -> Translator:
    from refuseu.translate import seq2seq
    from refuseu.weights.hub import fetched

    reference, model = engines.weights(part.model)
    if not isinstance(model, TransformersModel):
        raise UserError(
            f"models.{part.model}.engine: must be transformers, which alone runs models of the kind seq2seq"
        )
    engines.loaded_elsewhere[part.model] = described(reference, model)
    own, dtype = engines.machine.transformers, model.dtype

    def load() -> seq2seq.Seq2SeqModel:
        return seq2seq.Seq2SeqModel(fetched(reference), part.max_tokens, own.batch_size, dtype, own.device)

    return seq2seq.Seq2SeqTranslator(engines.loaded_elsewhere[part.model], part.max_tokens, load, engines.store)
