"""The section ``respond``, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Positive, Section
from refuseu.engines.settings import ModelRole, Models
from refuseu.experiment import Experiment
from refuseu.sources.settings import ByPublished, Published


class ByPhrasebook(Section):
    """A refusal of the phrasebook in the question's language."""

    kind: Literal["phrasebook"]


class LlmRefuser(ModelRole):
    """A chat model that is told to refuse; its prompt is in ``data/prompts``."""

    kind: Literal["llm"]


class Respond(Section):
    """Who refuses, and who gives the other answer."""

    refuser: Annotated[ByPhrasebook | ByPublished | LlmRefuser, Field(discriminator="kind")]
    rejected: Literal["base", "published"] = "base"
    """Whose the other answer is: the un-aligned base's own, or the published set's."""
    max_new_tokens: Positive
    """Of the base's answer."""


class RespondParameters(Experiment):
    models: Models
    published: Published
    respond: Respond
