import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from planned import WEIGHTS, machine, training, vllm
from repository import ROOT
from safetensors.torch import save_file

from refuseu.dpo.settings import Dpo
from refuseu.engines.model import LocalModel
from refuseu.engines.registry import model_settings
from refuseu.llm.size import Size
from refuseu.parameters import Parameters, load_all
from refuseu.plan import host, models
from refuseu.plan.models import gpu_gb, gpus_of, host_gb, short, size_in, size_of, training_gb

LLAMA = {
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "max_position_embeddings": 131_072,
}


def weights(**settings: object) -> LocalModel:
    return model_settings({**WEIGHTS, **settings})


def model_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    save_file({"one": torch.zeros(10, dtype=torch.bfloat16), "two": torch.zeros(5)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return folder


def test_the_size_of_a_folder_and_of_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_in(tmp_path / "model")
    expected = Size(15, 40 / 1e9, LLAMA)
    assert size_of(weights(repo=str(folder))) == expected
    monkeypatch.setattr(host, "cached", lambda repo, revision: folder)
    assert size_of(weights(repo="org/in-cache")) == expected
    assert size_of(weights(repo=str(tmp_path / "gone"))) is None
    assert size_of(weights(repo=None)) is None


@pytest.mark.parametrize(
    ("quantized", "counts", "parameters", "stored_gb"),
    [
        ({"quant_method": "fp8"}, {"F8_E4M3": 8_000_000_000, "BF16": 500_000_000}, 8.5e9, 9.0),
        ({"quant_method": "gptq", "bits": 4}, {"I32": 1_000_000_000, "F16": 500_000_000}, 8.5e9, 5.0),
        ({"quant_method": "awq", "w_bit": 8}, {"I32": 2_000_000_000}, 8e9, 8.0),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
            {"I32": 1_000_000_000},
            8e9,
            4.0,
        ),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, {"U8": 4_000_000_000}, 8e9, 4.0),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, {"I8": 8_000_000_000}, 8e9, 8.0),
        ({"quant_method": "mxfp4"}, {"U8": 10_000_000_000, "BF16": 1_000_000_000}, 21e9, 12.0),
    ],
)
def test_quantized_weights_are_counted_as_they_lie_in_files_and_memory(
    quantized: dict[str, Any],
    counts: dict[str, int],
    parameters: float,
    stored_gb: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (config := tmp_path / "config.json").write_text(json.dumps({**LLAMA, "quantization_config": quantized}))
    monkeypatch.setattr(host, "cached", lambda repo, revision: None)
    monkeypatch.setattr(host, "offline", lambda: False)
    metadata = SimpleNamespace(parameter_count=counts)
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", lambda repo, revision: metadata)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, name, revision: str(config))
    size = size_of(weights(repo=f"org/{tmp_path.name}"))
    assert size
    assert (size.parameters, size.stored_gb, size.weights_gb("bfloat16")) == (parameters, stored_gb, stored_gb)


def test_integers_beside_weights_that_are_not_quantized_are_one_each(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"one": torch.zeros(10), "places": torch.zeros(5, dtype=torch.int64)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    assert size_of(weights(repo=str(folder))) == Size(15, 80 / 1e9, LLAMA)


def test_the_hub_is_asked_for_the_size_of_what_is_not_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config := tmp_path / "config.json").write_text(json.dumps(LLAMA))

    metadata = SimpleNamespace(parameter_count={"BF16": 8_000_000_000, "F8_E4M3": 500_000_000})
    monkeypatch.setattr(host, "cached", lambda repo, revision: None)
    monkeypatch.setattr(host, "offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", lambda repo, revision: metadata)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, name, revision: str(config))
    assert size_of(weights(repo="org/on-the-hub")) == Size(8_500_000_000, 16.5, LLAMA)
    monkeypatch.setattr(host, "offline", lambda: True)
    assert size_of(weights(repo="org/another")) is None


def test_a_hub_that_cannot_be_reached_tells_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repo: str, revision: str | None) -> None:
        raise OSError("no network")

    monkeypatch.setattr(host, "cached", lambda repo, revision: None)
    monkeypatch.setattr(host, "offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", fail)
    assert size_of(weights(repo="org/out-of-reach")) is None
    assert gpu_gb(weights(repo="org/out-of-reach"), machine(vllm=vllm())) is None


def test_a_model_takes_weights_a_conversation_and_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 16.0, LLAMA))
    # Llama 3.1 8B keeps 131,072 bytes of every token.
    assert gpu_gb(weights(max_model_len=10_000), machine(vllm=vllm())) == pytest.approx(16 + 1.31072 + 3)
    assert gpu_gb(weights(max_model_len=10_000), machine(vllm=vllm(tensor_parallel=2))) == pytest.approx(8.65536 + 3)
    assert gpu_gb(weights(max_model_len=None), machine(vllm=vllm())) == pytest.approx(16 + 131_072**2 / 1e9 + 3)


def test_gpus_of_a_model_on_a_machine_that_does_not_describe_its_engine() -> None:
    assert gpus_of(weights(), machine()) == 0


def parameters(**changes: object) -> Parameters:
    found = load_all(ROOT, "paper-8b")
    dpo = Dpo.model_validate(found.dpo.model_dump(exclude_none=True) | changes)
    return found.model_copy(update={"dpo": dpo})


def test_a_training_holds_the_base_and_16_bytes_of_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 16.0))
    alone, shared = machine(training=training()), machine(training=training(processes=8, accelerate="fsdp2"))
    assert training_gb(parameters(), alone) == pytest.approx(16 + 8 * 0.005 * 16)
    assert training_gb(parameters(), shared) == pytest.approx((16 + 8 * 0.005 * 16) / 8)
    full = {"method": {"kind": "full"}, "dtype": "float32"}
    assert training_gb(parameters(**full), alone) == 128 + 32
    assert training_gb(parameters(**full, reference="precomputed"), alone) == 128
    monkeypatch.setattr(models, "size_of", lambda model: None)
    assert training_gb(parameters(), alone) is None


def test_a_base_in_four_bits_keeps_its_tables_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"vocab_size": 128_256, "hidden_size": 4096}
    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 16.0, config))
    lora = {"kind": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "targets": "all-linear", "load_in_4bit": True}
    tables = 2 * 128_256 * 4096 / 1e9
    taken = 2 * tables + (8 - tables) * 0.5625 + 8 * 0.005 * 16
    assert training_gb(parameters(method=lora), machine(training=training())) == pytest.approx(taken)
    assert host_gb(parameters(method=lora), machine(training=training())) == 0


def test_each_process_reads_the_base_but_of_adapters_the_first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 16.0))
    shared, copied = (machine(training=training(processes=8, accelerate=each)) for each in ("fsdp2", "none"))
    assert (host_gb(parameters(), shared), host_gb(parameters(), copied)) == (16, 8 * 16)
    full = {"method": {"kind": "full"}, "dtype": "float32"}
    assert host_gb(parameters(**full), shared) == 8 * (32 + 32)
    assert host_gb(parameters(**full, reference="precomputed"), shared) == 8 * 32
    on_cpus = machine(training=training(device="cpu", processes=2))
    assert host_gb(parameters(), on_cpus) == pytest.approx(2 * (16 + 8 * 0.005 * 16))
    monkeypatch.setattr(models, "size_of", lambda model: None)
    assert host_gb(parameters(), shared) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "–"),
        (999, "999"),
        (9_999, "9,999"),
        (10_000, "10k"),
        (999_999, "1M"),
        (1_234_567, "1.23M"),
        (5.36e9, "5.36G"),
    ],
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(
    ("repo", "count"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", 70_000_000_000),
        ("org/qwen2.5-0.5b", 500_000_000),
        ("org/SmolLM2-135M", 135_000_000),
        ("8b/no-size", None),
        ("org/Mixtral-8x7B", None),
        ("org/name-8bit", None),
        ("org/Llama-3.1", None),
    ],
)
def test_a_name_may_tell_the_size_where_nothing_else_does(
    repo: str, count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_size", lambda repo, revision: None)
    assert size_of(weights(repo=repo)) == (Size(count, named=True) if count else None)


@pytest.mark.parametrize(("profile", "count"), [("miniature", 1_436_160), ("smollm2", 135_000_000)])
def test_the_size_of_a_base_that_is_made_here(profile: str, count: int) -> None:
    found = size_in(load_all(ROOT, profile), "base")
    assert found and found.parameters == count
