"""GPU hours by arithmetic: operations of a model over what a card does of them; nothing here was measured."""

from refuseu.commands.parameters import Parameters, WholeMachine
from refuseu.commands.plan import found
from refuseu.commands.plan.asks import Ask
from refuseu.commands.plan.sizes import size_of
from refuseu.engines.settings import BASE, LocalModel, Model, VllmModel

PEAK = 989e12
"""Operations a second of an H100 SXM in bfloat16 and float16, dense: half of what NVIDIA's data sheet says with sparsity."""
READING = 0.4
"""Share (0-1) of the peak that is assumed while a prompt is read and while a model is trained: large products of matrices."""
WRITING = 0.1
"""Share that is assumed while tokens are written: each step reads all weights from memory for one token of each conversation.

64 conversations at once would allow 0.22 at the card's 3.35 TB/s if nothing but the weights were read.
"""
FORWARD = 2
"""Operations a parameter and token: a multiplication and an addition. What attention takes beside is left out."""
TRAINED = 3 * FORWARD + FORWARD
"""Likewise of a training: forward, twice as much backward, and the reference's forward. LoRA leaves out a third of the first two,
and gradient checkpointing adds as much.
"""
HALF = ("bfloat16", "float16")
"""Numbers that the peak is told for."""


def asked_hours(ask: Ask, parameters: Parameters, machine: WholeMachine) -> float | None:
    """Of the rows that a model is asked; ``None`` where no GPU answers, or it is not known how fast."""
    model = parameters.models[ask.model]
    if not isinstance(model, LocalModel) or model.dtype not in HALF or not _on_gpu(model, machine):
        return None
    parameter_tokens = ask.tokens_in / READING + ask.tokens_out / WRITING
    return _hours(model, FORWARD * parameter_tokens)


def trained_hours(tokens: int, parameters: Parameters, machine: WholeMachine) -> float | None:
    """Of trainings that read so many tokens; ``None`` where no GPU trains, or it is not known how fast."""
    if machine.training.device != "cuda" or not (parameters.dpo.bf16 or parameters.dpo.dtype in HALF):
        return None
    return _hours(parameters.models[BASE], TRAINED * tokens / READING)


def _on_gpu(model: LocalModel, machine: WholeMachine) -> bool:
    if isinstance(model, VllmModel):
        return machine.vllm is not None and not found.vllm_for_cpu()
    return machine.transformers.device == "cuda"


def _hours(model: Model, operations: float) -> float | None:
    """Hours of one card for so many operations of each parameter at its peak."""
    size = size_of(model.repo) if isinstance(model, LocalModel) and model.repo else None
    return size.billions * 1e9 * operations / PEAK / 3600 if size else None
