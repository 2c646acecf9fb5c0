"""The section ``dpo``, and what its stage reads."""

from typing import Annotated

from pydantic import Field

from refuseu.parameters.section import Positive, Rate, Section, Seed, Share


class Dpo(Section):
    """How a model is aligned; the same for every config."""

    steps: Positive
    """Optimizer steps."""
    batch_size: Positive
    """Preference pairs a step."""
    learning_rate: Rate
    """Peak; linear decay to zero."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps over which the rate rises."""
    beta: Rate
    """Strength of the pull towards the reference model."""
    sft_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Weight of the likelihood of the chosen answer, beside the DPO loss of weight 1."""
    max_length: Positive
    """Tokens of prompt and answer together."""
    max_dropped: Share
    """Share of a language's rows that may be dropped or truncated before the stage fails."""


class DpoParameters(Section):
    seed: Seed
    dpo: Dpo
