"""Parameters of the stage ``respond``."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Positive, Section
from refuseu.engines.registry import Models
from refuseu.experiment import Experiment
from refuseu.llm.settings import ModelRole, PhrasebookRole
from refuseu.sources.settings import ByPublished, Published


class LlmRefuser(ModelRole):
    """A chat model that is instructed to refuse; its prompt is ``data/prompts/refusal.md``."""

    kind: Literal["llm"]


RefuserRole = Annotated[PhrasebookRole | ByPublished | LlmRefuser, Field(discriminator="kind")]
"""Who refuses; ``factory.build_refuser`` builds each kind."""


class Respond(Section):
    """Who refuses, and where the other answer comes from."""

    refuser: RefuserRole
    rejected: Literal["base", "published"] = "base"
    """Source of the answer that is no refusal: the un-aligned base, or the published set."""
    max_new_tokens: Positive
    """Most tokens of an answer of the base."""


class RespondParameters(Experiment):
    models: Models
    published: Published
    respond: Respond
