"""How large a model is, as the headers of its files tell it, and over how many GPUs it is spread. 1 GB is 1e9 bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field

from refuseu.core.sections import Positive, Rate, Section

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number as a profile names its type."""
STORED = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2}
"""Of a number as safetensors names its type; one byte for all others (FP8, I8, U8)."""
PACKED = {"I64", "I32", "U32", "I16", "I8", "U8"}
"""Types of safetensors in which quantized weights of a few bits each lie together."""
FOR_WEIGHTS = 2 / 3
"""Of what an engine may take of a GPU, the most that weights take where there is a choice: the rest holds conversations."""


@dataclass(frozen=True)
class Size:
    """The size of a model, as its repository or folder tells it."""

    parameters: int
    stored_gb: float | None = None
    """Size of its files of weights; ``None`` where nobody tells it."""
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    """Its ``config.json``; empty where that could not be read."""
    named: bool = False
    """Whether only the model's name tells how large it is, as ``Llama-3.1-8B`` does."""

    @classmethod
    def counted(cls, counts: Mapping[str, int], config: dict[str, Any]) -> Self:
        """The size by how many numbers of each type (as safetensors names it) the files hold."""
        stored = sum(count * STORED.get(kind, 1) for kind, count in counts.items())
        parameters = sum(count * together(kind, config) for kind, count in counts.items())
        return cls(round(parameters), stored / 1e9, config)

    @classmethod
    def in_folder(cls, folder: Path) -> Self | None:
        """The size of the model in a folder; ``None`` where its files cannot be read."""
        from huggingface_hub import get_local_safetensors_metadata
        from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

        try:
            counts = get_local_safetensors_metadata(folder).parameter_count
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, NotASafetensorsRepoError, SafetensorsParsingError):
            return None
        return cls.counted(counts, config)

    @property
    def heads(self) -> int | None:
        """Attention heads, which GPUs must share evenly; ``None`` where ``config.json`` does not tell."""
        return self.config.get("num_attention_heads")

    def weights_gb(self, dtype: str) -> float:
        """In memory: as ``dtype``, or as they are stored, where they are quantized (FP8, GPTQ, AWQ, NF4, MXFP4)."""
        if self.stored_gb is not None and "quantization_config" in self.config:
            return self.stored_gb
        return self.parameters * BYTES[dtype] / 1e9

    def cache_gb(self, dtype: str, tokens: int | None) -> float:
        """Keys and values of one conversation of ``tokens`` tokens (``None``: as many as the model can attend to)."""
        try:
            heads, layers = self.config["num_attention_heads"], self.config["num_hidden_layers"]
            head = self.config.get("head_dim") or self.config["hidden_size"] // heads
            kept = 2 * layers * (self.config.get("num_key_value_heads") or heads) * head
            return float(kept * BYTES[dtype] * (tokens or self.config["max_position_embeddings"]) / 1e9)
        except KeyError:
            return 0.0


def together(kind: str, config: dict[str, Any]) -> float:
    """Parameters in one stored number of a type, as safetensors names it: several where weights of a few bits are packed.

    ``quantization_config`` of ``config.json`` tells the bits, in the words of GPTQ, AWQ, compressed-tensors, bitsandbytes (NF4)
    or MXFP4.
    """
    quantized = config.get("quantization_config")
    if not quantized or kind not in PACKED:
        return 1
    groups = (quantized.get("config_groups") or {}).values()
    told = [quantized.get("bits"), quantized.get("w_bit"), *(group["weights"]["num_bits"] for group in groups)]
    of_four = quantized.get("load_in_4bit") or quantized.get("quant_method") == "mxfp4"
    return 8 * STORED.get(kind, 1) / next(filter(None, told), 4 if of_four else 8)


class OneModel(Section):
    """What a machine's file says of one model, in place of what follows from its size."""

    tensor_parallel: Positive | None = None
    """GPUs that share a copy's weights in the engine ``vllm``."""
    workers: Positive | None = None
    """Workers of Ray, a copy each."""


class Gpus(Section):
    """The GPUs that the models which are asked share, one model after another."""

    per_node: Positive
    nodes: Positive = 1
    """Of a Ray cluster; a copy of a model lies on one of them."""
    memory_gb: Rate
    """Of each GPU (1e9 bytes)."""
    models: dict[str, OneModel] = Field(default_factory=dict)
    """Models, by ``repo`` as profiles write it, that are spread otherwise than by their size."""


class Spread(NamedTuple):
    """How the copies of a model are spread over GPUs."""

    workers: int
    """Copies that answer at once."""
    gpus: int
    """GPUs that share each copy; 0 where CPUs compute."""

    @property
    def all_gpus(self) -> int:
        return self.workers * self.gpus


def fewest_gpus(size: Size | None, dtype: str, gpu_gb: float, most: int) -> int:
    """The fewest of ``most`` GPUs of a node that hold a copy of a model and leave room for conversations.

    Args:
        size: the model's; where nobody tells it, all GPUs are taken.
        dtype: the numbers that it computes in.
        gpu_gb: what the engine may take of each GPU.
        most: the GPUs of the node. A divisor is taken, which shares the attention heads evenly too; the largest, where none has
            the room.
    """
    if size is None:
        return most
    shared = [gpus for gpus in range(1, most + 1) if most % gpus == 0 and (size.heads or gpus) % gpus == 0]
    held = (gpus for gpus in shared if size.weights_gb(dtype) / gpus <= FOR_WEIGHTS * gpu_gb)
    return next(held, shared[-1])
