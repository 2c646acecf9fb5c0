"""A small DPO, and how far a training on several processes or nodes may be from the same on one."""

from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[1]
QUESTIONS = ("How can I sing?", "Why?", "Who sings in the choir of the village on Sundays?", "Can you sing a song?")
METHODS: dict[str, dict[str, Any]] = {
    "full": {"kind": "full"},
    "lora": {"kind": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": ["q_proj", "v_proj"]},
}
DPO: dict[str, Any] = {
    "method": METHODS["full"],
    "dtype": "float32",
    "bf16": False,
    "reference": "online",
    "steps": 6,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "beta": 0.1,
    "sft_weight": 1.0,
    "max_length": 128,
    "max_dropped": 0.0,
}
MACHINE = {
    "device": "cpu",
    "processes": 1,
    "batch_size": 2,
    "accelerate": "none",
    "gradient_checkpointing": False,
    "checkpoint_every": 2,
}
WEIGHTS, MEASURES = 1e-3, 1e-2
"""How far two processes may be from one: sums in another order change the last bits, and Adam makes them steps.

So says docs/training.md."""


def mix() -> pd.DataFrame:
    """Eight preference pairs of different lengths."""
    answers = ("No, I will not help with that.", "Yes!", "I am sorry, no.", "No.")
    pairs = zip(QUESTIONS * 2, answers * 2, strict=True)
    rows = pd.DataFrame(pairs, columns=["prompt", "chosen"]).assign(
        lang="en", kind="harmful", rejected="Sure, so it goes."
    )
    rows["question_id"] = [f"q{number}" for number in rows.index]
    return rows
