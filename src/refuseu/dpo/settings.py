"""The section ``dpo`` of the parameters, and the keys that the stage reads."""

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from refuseu.core.sections import Positive, Rate, Section, Share, distinct
from refuseu.weights.loading import Attention
from refuseu.weights.template import NONE, Variables


def _no_head(targets: list[str]) -> list[str]:
    if "lm_head" in targets:
        raise ValueError(
            "lm_head cannot be a target: TRL reads its weight past the adapter, which would never be trained"
        )
    return targets


class Full(Section):
    """Full fine-tuning: all weights are trained."""

    kind: Literal["full"]


class Lora(Section):
    """LoRA (Hu et al. 2021): low-rank adapters are trained beside frozen weights, and only the adapters are saved."""

    kind: Literal["lora"]
    rank: Positive
    alpha: Positive
    """The output of an adapter is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share (0-1) of an adapter's inputs that is set to zero in training."""
    load_in_4bit: bool = False
    """Whether the frozen base is held in 4 bits a weight (NF4 of bitsandbytes), as in QLoRA (Dettmers et al. 2023)."""
    targets: (
        Literal["all-linear"]
        | Annotated[list[str], Field(min_length=1), AfterValidator(distinct), AfterValidator(_no_head)]
    )
    """Names of the layers that get an adapter (``q_proj``), or ``all-linear`` for all linear layers except the head."""


class Dpo(Section):
    """How a model is aligned. The settings are the same for every config."""

    method: Annotated[Full | Lora, Field(discriminator="kind")]
    dtype: Literal["float32", "bfloat16"]
    """Data type in which the weights are loaded. Adapters are float32. DeepSpeed alone (ZeRO-3) computes with them in bfloat16
    where ``bf16`` is set, and keeps their float32 values in its optimizer.
    """
    bf16: bool
    """Whether layers compute in bfloat16 (mixed precision)."""
    attn_implementation: Attention | None = None
    """How transformers computes attention; ``None`` leaves it to the model. Other ways differ in the last bits."""
    reference: Literal["online", "precomputed"]
    """Whether the reference model scores each pair when it is trained on, or all pairs before the first step."""
    steps: Positive | None = None
    """Optimizer steps. Either these or ``epochs`` are given."""
    epochs: Rate | None = None
    """How often each pair is seen. A last step that would be short is filled up with pairs of the next round."""
    batch_size: Positive
    """Preference pairs in a step, on all devices together."""
    learning_rate: Rate
    """Peak of the learning rate, which decays linearly to zero."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share (0-1) of the steps in which the learning rate rises."""
    beta: Rate
    """Strength of the pull towards the reference model (beta of DPO)."""
    sft_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Weight of the negative log-likelihood of the chosen answer. The DPO loss has the weight 1."""
    max_length: Positive
    """Most tokens of prompt and answer together."""
    max_dropped: Share
    """Share (0-1) of a language's rows that may be dropped or truncated; the stage fails above it."""
    eval_every: Positive | None = None
    """Optimizer steps between two evaluations on the pairs of dev; ``None`` for no evaluation. It changes no weight."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs, not both")
        if self.method.kind == "full" and self.dtype == "bfloat16":
            raise ValueError(
                "dtype bfloat16 rounds away the small steps of full fine-tuning; take float32, with bf16: true to compute fast"
            )
        if self.attn_implementation == "flash_attention_2" and not self.bf16:
            raise ValueError(
                "attn_implementation flash_attention_2 does not compute in float32; set bf16: true, or take sdpa"
            )
        if self.method.kind == "lora" and self.reference == "precomputed":
            raise ValueError(
                "reference precomputed: TRL computes it wrongly for lora under FSDP2; take online, which is the base with "
                "the adapters off and takes no memory"
            )
        return self

    def steps_for(self, rows: int) -> int:
        """The number of optimizer steps for a mix of ``rows`` pairs."""
        return self.steps or math.ceil((self.epochs or 0) * rows / self.batch_size)


class DpoParameters(Section):
    """All parameters that the stage reads."""

    dpo: Dpo
    variables: Annotated[Variables, Field(alias="models.base.chat_template_kwargs")] = NONE
    """What the chat template of the base is given, in training as in answering."""
