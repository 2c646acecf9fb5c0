"""A real model, SmolLM2-135M-Instruct, as a folder; two adapters on it; and what plain transformers and peft make of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from reference import IN_VLLM, ON_CPU, Reference
from repository import forget_the_caller

from refuseu.base.gguf import convert, smollm2
from refuseu.engines.vllm import VllmEngine
from refuseu.llm.protocol import Conversation, user
from refuseu.weights.reference import ModelReference

forget_the_caller()

TARGETS = ["q_proj", "v_proj", "down_proj"]
QUESTIONS = (
    "What is the capital of France?",
    "Write two sentences about bread.",
    "Name three colours.",
    "Is water wet? Answer yes or no.",
    "Was ist die Hauptstadt von Polen?",
    "Jak się masz?",
    "Co je to chléb?",
    "Why is the sky blue?",
)


@pytest.fixture(scope="session")
def conversations() -> list[Conversation]:
    return [user(question) for question in QUESTIONS]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder."""
    out = tmp_path_factory.mktemp("models") / "smollm2"
    convert(smollm2(), out)
    return out


@pytest.fixture(scope="session")
def adapters(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two LoRA folders of different ranks, whose random weights change what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = []
    for seed, rank in enumerate((4, 16)):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS, init_lora_weights=False)
        out = tmp_path_factory.mktemp("adapters") / f"rank-{rank}"
        get_peft_model(model, config).save_pretrained(out)
        made.append(out)
    return made[0], made[1]


@pytest.fixture(scope="session")
def reference(folder: Path) -> Reference:
    return Reference(folder)


@pytest.fixture(scope="session")
def answers(reference: Reference, conversations: Sequence[Conversation]) -> list[str]:
    """What transformers says to each conversation in 24 tokens."""
    return [reference.answer(conversation, 24) for conversation in conversations]


@pytest.fixture(scope="module")
def engine(folder: Path, adapters: tuple[Path, Path]) -> Iterator[VllmEngine]:
    """The model in vLLM, with chunks smaller than the questions are many."""
    engine = VllmEngine(ModelReference(folder), IN_VLLM, ON_CPU, "smollm2", adapters)
    yield engine
    engine.close()
