"""Parameters of the stage ``respond``."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Positive, Section
from refuseu.engines.registry import Models
from refuseu.experiment import RESTRICTED, WithBase
from refuseu.llm.settings import ModelRole, PhrasebookRole
from refuseu.sources.settings import ByPublished, Published


class LlmRefuser(ModelRole):
    """A chat model that is instructed to refuse; its prompt is ``data/prompts/refusal.md``."""

    kind: Literal["llm"]
    sentences: Positive = 6
    """About how many sentences a refusal has. The paper's are thoughtful and detailed."""


RefuserRole = Annotated[PhrasebookRole | ByPublished | LlmRefuser, Field(discriminator="kind")]
"""Who refuses; ``factory.build_refuser`` builds each kind."""


class ByBase(Section):
    """The un-aligned base that is aligned plays the role."""

    kind: Literal["base"]
    max_new_tokens: Positive
    """Most tokens of an answer."""


class LlmRejected(ModelRole):
    """Another un-aligned model answers, such as the paper's model of 70 B parameters for a base of 8 B. It has no prompt."""

    kind: Literal["llm"]


RejectedRole = Annotated[ByBase | LlmRejected | ByPublished, Field(discriminator="kind")]
"""Who gives the answers that are no refusals; ``factory.build_answer`` builds each kind."""


class Respond(Section):
    """Who refuses, and who gives the other answer."""

    refuser: RefuserRole
    rejected: RejectedRole
    """Gives the answer that is no refusal: rejected of a harmful question, chosen of a benign one."""


class RespondParameters(WithBase):
    models: Models
    published: Published
    respond: Respond

    @property
    def unanswered(self) -> frozenset[str]:
        """Hazard categories whose questions get no answer but a refusal, since a real model would write it."""
        return self.withheld_from_base if isinstance(self.respond.rejected, ByBase) else RESTRICTED
