"""The section ``translate``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.parameters.experiment import Experiment
from refuseu.parameters.models import Asked, Models
from refuseu.parameters.section import Section


class ByPhrasebook(Section):
    """Takes a question apart in one language's phrasebook and puts it together in another's."""

    kind: Literal["phrasebook"]


class LlmTranslator(Asked):
    """A chat model; its prompt is in ``data/prompts``."""

    kind: Literal["llm"]


class Translate(Section):
    """Who translates, and what is kept."""

    translator: Annotated[ByPhrasebook | LlmTranslator, Field(discriminator="kind")]
    min_chrf: Annotated[float, Field(ge=0, le=100)]
    """Least chrF (0-100) of the back-translation against the English question."""


class TranslateParameters(Experiment):
    models: Models
    translate: Translate
