from pathlib import Path

import pytest
from repository import ROOT

from refuseu.commands.parameters import load_all
from refuseu.commands.plan.sizes import WORKING_GB, gpu_gb, size_of, training_gb
from refuseu.dpo.machine import TrainingMachine
from refuseu.dpo.settings import Dpo
from refuseu.engines.settings import TransformersModel, VllmModel


def weights(repo: str | None, length: int | None = 1000) -> VllmModel:
    return VllmModel(engine="vllm", dtype="bfloat16", repo=repo, max_model_len=length)


@pytest.mark.parametrize(
    ("repo", "billions", "guessed"),
    [
        ("mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated", 8.0, False),
        ("mlabonne/Llama-3.1-70B-Instruct-lorablated", 70.6, False),
        ("meta-llama/Llama-Guard-3-8B", 8.0, False),
        ("ToxicityPrompts/PolyGuard-Qwen", 7.6, False),
        ("ToxicityPrompts/PolyGuard-Qwen-Smol", 0.5, False),
        ("Qwen/Qwen3Guard-Gen-0.6B", 0.6, False),
        ("org/name-12b-it", 12.0, True),
        ("org/name-360M", 0.36, True),
    ],
)
def test_sizes_are_known_or_read_from_the_name(repo: str, billions: float, guessed: bool) -> None:
    size = size_of(repo)
    assert size and (size.billions, size.guessed) == (billions, guessed)


@pytest.mark.parametrize("repo", ["facebook/some-model", "org/b2b-model", "openai/gpt-4"])
def test_a_name_that_tells_no_size_has_none(repo: str) -> None:
    assert size_of(repo) is None
    assert gpu_gb(weights(repo), 1) is None


def test_llama_keeps_131_kb_a_token() -> None:
    size = size_of("meta-llama/Llama-3.1-8B-Instruct")
    assert size and size.cache_gb("bfloat16", 1000) == pytest.approx(0.131072)
    assert size.weights_gb("float32") == 32


def test_gpus_share_weights_and_cache() -> None:
    model = weights("meta-llama/Llama-3.1-70B-Instruct", 10_000)
    assert gpu_gb(model, 1) == pytest.approx(141.2 + 3.2768 + WORKING_GB)
    assert gpu_gb(model, 4) == pytest.approx((141.2 + 3.2768) / 4 + WORKING_GB)
    endless = gpu_gb(weights("meta-llama/Llama-3.1-8B-Instruct", None), 1)
    assert endless == pytest.approx(16 + 131_072**2 / 1e9 + WORKING_GB)


def test_transformers_holds_the_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"0" * 2_000_000)
    assert gpu_gb(TransformersModel(engine="transformers", dtype="float32", repo=str(tmp_path)), 1) == 0.002
    assert gpu_gb(TransformersModel(engine="transformers", dtype="float64"), 1) is None


def training(**changes: object) -> TrainingMachine:
    content = {
        "device": "cuda",
        "processes": 8,
        "batch_size": 2,
        "accelerate": "fsdp2",
        "gradient_checkpointing": True,
        "checkpoint_every": 50,
    }
    return TrainingMachine.model_validate({**content, **changes})


def dpo(**changes: object) -> Dpo:
    return Dpo.model_validate(load_all(ROOT, "llama-8b").dpo.model_dump(exclude_none=True) | changes)


def test_a_lora_training_holds_the_base_and_little_else() -> None:
    model = weights("meta-llama/Llama-3.1-8B-Instruct")
    alone = training_gb(model, dpo(), training(accelerate="none"))
    assert alone == pytest.approx(16 + 8 * 0.005 * 16)
    assert training_gb(model, dpo(), training()) == pytest.approx(alone / 8)


def test_a_full_training_holds_16_bytes_a_parameter_and_the_reference() -> None:
    model = weights("meta-llama/Llama-3.1-8B-Instruct")
    full = dpo(method={"kind": "full"}, dtype="float32")
    assert training_gb(model, full, training(accelerate="none")) == 128 + 32
    before = dpo(method={"kind": "full"}, dtype="float32", reference="precomputed")
    assert training_gb(model, before, training(accelerate="none")) == 128
    assert training_gb(weights(None), full, training()) is None
