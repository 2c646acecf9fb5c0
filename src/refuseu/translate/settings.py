"""The section ``translate``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Positive, Section
from refuseu.engines.settings import ModelRole, Models
from refuseu.experiment import Experiment
from refuseu.sources.settings import ByPublished, Published


class ByPhrasebook(Section):
    """Takes a question apart in one language's phrasebook and puts it together in another's."""

    kind: Literal["phrasebook"]


class LlmTranslator(ModelRole):
    """A chat model; its prompt is in ``data/prompts``."""

    kind: Literal["llm"]


class Seq2SeqTranslator(Section):
    """A translation model that is no LLM, NLLB or MADLAD-400, by transformers."""

    kind: Literal["seq2seq"]
    model: str
    """One of the profile's ``models``, with the engine transformers."""
    max_tokens: Positive
    """Of a text, before and after."""


class Translate(Section):
    """Who translates, and what is kept."""

    translator: Annotated[ByPhrasebook | ByPublished | LlmTranslator | Seq2SeqTranslator, Field(discriminator="kind")]
    min_chrf: Annotated[float, Field(ge=0, le=100)]
    """Least chrF (0-100) of the back-translation against the English question."""


class TranslateParameters(Experiment):
    models: Models
    published: Published
    translate: Translate
