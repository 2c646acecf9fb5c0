"""Model folders with one fault each, as people really have them."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import save_untrained
from transformers import AutoModelForCausalLM

CLOCKED = "{{ 'Today is ' + strftime_now('%d %b %Y') + '. ' }}"
QUERY = "model.layers.0.self_attn.q_proj.weight"


def whole(folder: Path) -> Path:
    save_untrained(folder)
    return folder


def configured(folder: Path, **changes: Any) -> Path:
    """``folder`` with another ``config.json``."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return folder


def without_a_tensor(folder: Path, name: str = QUERY) -> Path:
    path = whole(folder) / "model.safetensors"
    weights = load_file(path)
    del weights[name]
    save_file(weights, path, {"format": "pt"})
    return folder


def of_another_kind(folder: Path) -> Path:
    """The configuration of a GPT-2 with the weights of a Llama."""
    gpt2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 16, "n_head": 2, "n_layer": 1}
    (whole(folder) / "config.json").write_text(json.dumps({**gpt2, "vocab_size": 293}), encoding="utf-8")
    return folder


def not_finite(folder: Path, value: float = float("nan")) -> Path:
    path = whole(folder) / "model.safetensors"
    weights = load_file(path)
    weights[QUERY][3, 3] = value
    save_file(weights, path, {"format": "pt"})
    return folder


def cut_off(folder: Path) -> Path:
    path = whole(folder) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return folder


def templated(folder: Path, before: str) -> Path:
    """A whole model whose chat template has ``before`` in front."""
    path = whole(folder) / "chat_template.jinja"
    path.write_text(before + path.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def without_template(folder: Path) -> Path:
    (whole(folder) / "chat_template.jinja").unlink()
    return folder


def adapter(base: Path, folder: Path, rename: tuple[str, str] = ("", "")) -> Path:
    """An adapter on ``base``, in whose tensors' names one text is replaced by another."""
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    model.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_model.safetensors"
    save_file({name.replace(*rename): weight for name, weight in load_file(path).items()}, path)
    return folder
