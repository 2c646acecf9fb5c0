"""GPU memory that a model takes, by arithmetic; 1 GB is 1e9 bytes."""

import re
from dataclasses import dataclass
from pathlib import Path

from refuseu.dpo.machine import TrainingMachine
from refuseu.dpo.settings import Dpo, Lora
from refuseu.engines.settings import LocalModel, VllmModel

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number."""
WORKING_GB = 3.0
"""Of vLLM itself on each GPU, beside weights and cache: activations, graphs, libraries. A guess from its logs at this size."""
TRAINED_BYTES = 16
"""Of a parameter that is trained: weight, gradient and Adam's two moments in float32; bfloat16 copies come and go."""
ADAPTER = 0.005 / 16
"""Parameters of an adapter on all linear layers, a parameter of the model and a rank: Llama 3.1 8B has 42 M at rank 16."""
CONTEXT = 131_072
"""Tokens that a model can attend to whose profile names no ``max_model_len``: Llama 3.1's, the most of those known here."""


@dataclass(frozen=True)
class Size:
    """What memory depends on."""

    billions: float
    """Parameters."""
    layers: int
    heads: int
    """Attention heads; GPUs share them out evenly."""
    kv_heads: int
    """Heads whose keys and values are kept."""
    head_size: int = 128
    stored: str = "bfloat16"
    """The numbers that the repository's files hold."""
    guessed: bool = False
    """Only the parameters are known, by the repository's name."""

    def weights_gb(self, dtype: str) -> float:
        return self.billions * BYTES[dtype]

    def cache_gb(self, dtype: str, tokens: int) -> float:
        """Keys and values of ``tokens`` tokens."""
        return 2 * self.layers * self.kv_heads * self.head_size * BYTES[dtype] * tokens / 1e9


SIZES = {
    r"llama-3\.[1-3]-70b": Size(70.6, 80, 64, 8),
    r"llama-3\.1-8b|llama-guard-3-8b": Size(8.0, 32, 32, 8),
    r"polyguard-qwen$": Size(7.6, 28, 28, 4, stored="float32"),
    r"qwen2\.5-7b": Size(7.6, 28, 28, 4),
    r"polyguard-qwen-smol|qwen2\.5-0\.5b": Size(0.5, 24, 14, 2, 64),
    r"qwen3guard-\w+-8b|qwen3-8b": Size(8.2, 36, 32, 8),
    r"qwen3guard-\w+-4b|qwen3-4b": Size(4.0, 36, 32, 8),
    r"qwen3guard-\w+-0\.6b|qwen3-0\.6b": Size(0.6, 28, 16, 8),
    r"smollm2-135m": Size(0.135, 30, 9, 3, 64),
}
"""From each model's ``config.json``, by what the repository's name holds in lower case."""


def size_of(repo: str) -> Size | None:
    """The size of a repository's model; by the parameters that its name tells where it is none of ``SIZES``."""
    name = repo.lower()
    for pattern, size in SIZES.items():
        if re.search(pattern, name):
            return size
    told = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name)
    if told is None:
        return None
    billions = float(told[1]) / (1 if told[2] == "b" else 1000)
    # As Llama has them, or nearly so: 8 heads are kept; depth grows with the size.
    return Size(billions, 80 if billions > 20 else 32, 8, 8, guessed=True)


def folder_gb(folder: Path) -> float:
    """Size of the weights in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e9


def gpu_gb(model: LocalModel, tensor_parallel: int) -> float | None:
    """What a model takes of each GPU that shares it; ``None`` where its size is not known.

    Beside the weights that is the cache of one conversation of full length at the least: vLLM does not start without, and takes
    what is left for more conversations at once.
    """
    if model.repo is None:
        return None
    size = None if model.in_folder else size_of(model.repo)
    weights = folder_gb(Path(model.repo)) if model.in_folder else size.weights_gb(model.dtype) if size else None
    if weights is None or not isinstance(model, VllmModel):
        return weights
    cache = size.cache_gb(model.dtype, model.max_model_len or CONTEXT) if size else 0.0
    return (weights + cache) / tensor_parallel + WORKING_GB


def training_gb(model: LocalModel, dpo: Dpo, machine: TrainingMachine) -> float | None:
    """What a training takes of each GPU, but for activations; ``None`` where the model's size is not known."""
    size = size_of(model.repo) if model.repo else None
    if size is None:
        return None
    if isinstance(dpo.method, Lora):
        whole = size.weights_gb(dpo.dtype) + size.billions * ADAPTER * dpo.method.rank * TRAINED_BYTES
    else:
        reference = size.weights_gb(dpo.dtype) if dpo.reference == "online" else 0.0
        whole = size.billions * TRAINED_BYTES + reference
    return whole if machine.accelerate == "none" else whole / machine.processes
