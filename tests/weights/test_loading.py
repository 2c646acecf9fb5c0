import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broken
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.quantizers import quantizer_awq, quantizer_bnb_4bit, quantizer_compressed_tensors, quantizer_gptq
from transformers.utils import logging

from refuseu.core.errors import UserError
from refuseu.weights.loading import assert_finite, first_not_finite, load_model, load_tokenizer, skeleton
from refuseu.weights.reference import ModelReference

OWN = "'dvc checkout' brings the last good one back, 'dvc repro' a new one"
OTHERS = "mend its files where they come from, or name another model"


def mine(folder: Path, base: ModelReference | None = None) -> ModelReference:
    return ModelReference.read(folder, base, "eval.models.mine")


def message(use: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        use()
    return error.value.message


@pytest.mark.parametrize("how", ["load", "headers"])
def test_a_weight_that_is_missing_is_named_and_not_drawn(how: str, tmp_path: Path) -> None:
    reference = mine(broken.without_a_tensor(tmp_path))
    use = {"load": lambda: load_model(AutoModelForCausalLM, reference), "headers": lambda: skeleton(reference)}[how]
    assert message(use) == (
        f"eval.models.mine: {tmp_path}: its weights do not fit config.json: 1 missing ({broken.QUERY}); {OTHERS}"
    )


def test_the_weights_of_another_kind_of_model_are_counted_and_three_of_each_are_named(tmp_path: Path) -> None:
    said = message(lambda: skeleton(ModelReference(broken.of_another_kind(tmp_path))))
    assert said == (
        f"{tmp_path}: its weights do not fit config.json: 15 missing (transformer.h.0.attn.c_attn.bias, "
        "transformer.h.0.attn.c_attn.weight, transformer.h.0.attn.c_proj.bias, …); 11 not in the model "
        f"(model.embed_tokens.weight, model.layers.0.input_layernorm.weight, model.layers.0.mlp.down_proj.weight, …); {OWN}"
    )


def test_weights_that_no_layer_takes_are_named(tmp_path: Path) -> None:
    path = broken.whole(tmp_path) / "model.safetensors"
    save_file({**load_file(path), "model.layers.1.mlp.up_proj.weight": torch.ones(16, 16)}, path, {"format": "pt"})
    assert "config.json: 1 not in the model (model.layers.1.mlp.up_proj.weight); " in message(
        lambda: skeleton(mine(tmp_path))
    )


def test_tied_weights_are_stored_once_and_nothing_is_missing(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 20,
    }
    LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True)).save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert load_model(AutoModelForCausalLM, ModelReference(tmp_path)).config.vocab_size == 20
    assert next(skeleton(ModelReference(tmp_path)).parameters()).device.type == "meta"


@pytest.mark.parametrize(
    ("quantized", "reason"),
    [
        (
            {"quant_method": "gptq", "bits": 4},
            "Loading a GPTQ quantized model requires optimum (`pip install optimum`)",
        ),
        ({"quant_method": "awq", "bits": 4}, "Loading an AWQ quantized model requires gptqmodel"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "Using `bitsandbytes` 4-bit quantization requires bits",
        ),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors>="),
        ({"quant_method": "of-our-own"}, "Unknown quantization type, got of-our-own"),
    ],
)
def test_quantized_weights_that_transformers_cannot_load_here_are_one_sentence(
    quantized: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("optimum", "gptqmodel", "bitsandbytes", "compressed_tensors"):
        for module in (quantizer_gptq, quantizer_awq, quantizer_bnb_4bit, quantizer_compressed_tensors):
            monkeypatch.setattr(module, f"is_{package}_available", lambda: False, raising=False)
    folder = broken.configured(broken.whole(tmp_path / "model"), quantization_config=quantized)
    said = message(lambda: load_model(AutoModelForCausalLM, mine(folder)))
    method = quantized["quant_method"]
    assert said.startswith(
        f"eval.models.mine: {folder}: its weights are quantized ({method}), and transformers cannot "
    )
    assert reason in said
    assert said.endswith("; name a repository that is not quantized, or ask it with the engine vllm")


def test_headers_tell_nothing_of_quantized_weights_and_of_classes_that_transformers_would_not_build(
    tmp_path: Path,
) -> None:
    folder = broken.without_a_tensor(tmp_path)
    for changes in (
        {"quantization_config": {"quant_method": "awq"}},
        {"quantization_config": None, "architectures": ["LlamaForEverything"]},
        {"model_type": "unheard-of"},
    ):
        assert skeleton(mine(broken.configured(folder, **changes))) is None
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert message(lambda: skeleton(mine(folder))).endswith(f"not a readable model ('model_type'); {OTHERS}")


@pytest.mark.parametrize(
    ("rename", "fault"),
    [
        (("layers.0", "layers.7"), "14 missing (model.layers.0.mlp.down_proj.lora_A.adapter.weight, "),
        (
            ("mlp.up_proj.lora_A", "mlp.other.lora_A"),
            "1 missing (model.layers.0.mlp.up_proj.lora_A.adapter.weight); 1 not in the",
        ),
    ],
)
def test_an_adapter_whose_weights_fit_no_layer_is_none_on_this_base(
    rename: tuple[str, str], fault: str, tmp_path: Path
) -> None:
    base = broken.whole(tmp_path / "base")
    own = mine(broken.adapter(base, tmp_path / "adapter", rename), ModelReference(base))
    said = message(lambda: skeleton(own))
    assert said.startswith(f"eval.models.mine: {tmp_path}/adapter: its weights do not fit the base: {fault}")


def test_an_adapter_that_fits_passes(tmp_path: Path) -> None:
    base = broken.whole(tmp_path / "base")
    assert skeleton(mine(broken.adapter(base, tmp_path / "adapter"), ModelReference(base))) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_not_finite_is_named(value: float, tmp_path: Path) -> None:
    reference = mine(broken.not_finite(tmp_path, value))
    assert message(lambda: assert_finite(reference)) == (
        f"eval.models.mine: {tmp_path}: the weight {broken.QUERY} is not finite; {OTHERS}"
    )


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    assert message(lambda: assert_finite(mine(broken.cut_off(tmp_path)))).startswith(
        f"eval.models.mine: {tmp_path}: model.safetensors is damaged or cut off ("
    )


def test_whole_numbers_and_numbers_of_a_byte_are_looked_at_too() -> None:
    small = torch.ones(3).to(torch.float8_e5m2)
    assert (
        first_not_finite([("whole", torch.ones(2, dtype=torch.int8)), ("none", torch.ones(0)), ("small", small)])
        is None
    )
    assert first_not_finite([("small", torch.tensor([1.0, float("inf")]).to(torch.float8_e5m2))]) == "small"


def test_what_transformers_prints_while_it_loads_is_kept_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.get_verbosity()
    message(lambda: load_model(AutoModelForCausalLM, mine(broken.without_a_tensor(tmp_path))))
    assert (capfd.readouterr(), logging.get_verbosity()) == (("", ""), before)


def test_a_tokenizer_of_another_format_is_one_sentence(tmp_path: Path) -> None:
    (broken.whole(tmp_path) / "tokenizer.json").write_text(json.dumps({"model": 3}), encoding="utf-8")
    assert message(lambda: load_tokenizer(mine(tmp_path))).startswith(
        f"eval.models.mine: {tmp_path}: not a readable model ("
    )
