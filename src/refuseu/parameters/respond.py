"""The section ``respond``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.parameters.experiment import Experiment
from refuseu.parameters.models import Asked, Models
from refuseu.parameters.section import Positive, Section


class ByPhrasebook(Section):
    """A refusal of the phrasebook in the question's language."""

    kind: Literal["phrasebook"]


class LlmRefuser(Asked):
    """A chat model that is told to refuse; its prompt is in ``data/prompts``."""

    kind: Literal["llm"]


class Respond(Section):
    """Who refuses; the other answer is always the base's own."""

    refuser: Annotated[ByPhrasebook | LlmRefuser, Field(discriminator="kind")]
    max_new_tokens: Positive
    """Of the base's answer."""


class RespondParameters(Experiment):
    models: Models
    respond: Respond
