"""The section ``translate``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.parameters.experiment import Experiment
from refuseu.parameters.section import Section


class PhrasebookTranslator(Section):
    """Takes a question apart in one language's phrasebook and puts it together in another's."""

    kind: Literal["phrasebook"]


class Translate(Section):
    """Who translates, and what is kept."""

    translator: PhrasebookTranslator
    min_chrf: Annotated[float, Field(ge=0, le=100)]
    """Least chrF (0-100) of the back-translation against the English question."""


class TranslateParameters(Experiment):
    translate: Translate
