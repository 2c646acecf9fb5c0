"""The smallest base that learns something, what it learns, and where."""

from pathlib import Path

from refuseu.base.corpus import Example
from refuseu.base.settings import TrainedBase
from refuseu.dpo.machine import TrainingMachine

TINY = TrainedBase(
    kind="trained",
    vocabulary=300,
    hidden_size=16,
    layers=1,
    heads=2,
    intermediate_size=16,
    max_length=64,
    steps=40,
    batch_size=8,
    learning_rate=0.01,
)
ONE_CORE = TrainingMachine(
    device="cpu", processes=1, batch_size=16, accelerate="none", gradient_checkpointing=False, checkpoint_every=100
)
EXAMPLES = [Example("How can I sing?", "Gladly."), Example("Wie kann ich singen?", "Sehr gerne!")] * 160


def save_untrained(folder: Path, size: TrainedBase = TINY) -> None:
    """A base with weights as they were drawn, the same each time."""
    import torch

    from refuseu.base.miniature import build_model, build_tokenizer

    tokenizer = build_tokenizer(EXAMPLES, size)
    torch.manual_seed(1)
    build_model(tokenizer, size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
