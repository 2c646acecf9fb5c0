"""The model in vLLM, in the process that it has for itself; the engine is in ``vllm``."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from refuseu.core.errors import UserError
from refuseu.engines.protocol import Completion, Failed, Finish, Prompt, Sampling, row_seed
from refuseu.engines.tokens import first_tokens, rows_to_ask, rows_to_score
from refuseu.engines.transformers import enough_memory

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # this process is the model's own already
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "TQDM_DISABLE": "1",
}
"""What vLLM reads when it is imported."""

MORE_ROOM = (
    "answer; lower vllm.memory_fraction in machines/ (what it needs while it answers lies outside that share of a GPU), and see "
    "that nothing else computes there"
)


@dataclass(frozen=True)
class VllmSettings:
    """Which model, and how vLLM holds it."""

    source: Path
    """A model folder."""
    dtype: str
    """``bfloat16``, ``float16`` or ``float32``; it decides what the model says."""
    max_model_len: int | None = None
    """Tokens that a conversation and its answer may have together; None: as many as the model can attend to."""
    adapters: tuple[Path, ...] = ()
    """LoRA folders in peft's format that the model will be asked with."""
    tensor_parallel: int = 1
    """GPUs that share the model."""
    memory_fraction: float = 0.9
    """Share (0-1) of a GPU's memory that weights and cache take."""
    eager: bool = False
    """Starts in seconds and answers more slowly: nothing is compiled."""


@dataclass(frozen=True)
class VllmRequest:
    """Prompts that are asked in one call."""

    prompts: Sequence[Prompt]
    sampling: Sampling
    adapter: Path | None


@dataclass(frozen=True)
class Scored:
    """Answers whose likelihoods are asked for in one call."""

    pairs: Sequence[tuple[Prompt, str]]
    adapter: Path | None


class VllmWorker:
    """Loads the model, and answers in calls of many rows."""

    def __init__(self, settings: VllmSettings) -> None:
        """
        Raises:
            UserError: for a machine without the GPUs that are asked for, and a model or an adapter that cannot be read.
        """
        os.environ.update(ENVIRONMENT)
        _assert_devices(settings.tensor_parallel)
        with _readable(settings.source):
            self._llm = _load(settings)
        self._source = settings.source
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._limit: int = self._llm.model_config.max_model_len
        self._adapters = {folder: self._adapter(number, folder) for number, folder in enumerate(settings.adapters, 1)}

    def complete(self, asked: VllmRequest) -> list[Completion]:
        """One completion a prompt, in order."""
        sampling, firsts = asked.sampling, first_tokens(self._tokenizer, asked.sampling.first_tokens)
        rows, done = rows_to_ask(self._tokenizer, self._source, asked.prompts, sampling, self._limit)
        parameters = [
            _parameters(asked.prompts[position], sampling, firsts, self._limit - len(row))
            for position, row in rows.items()
        ]
        outputs = self._generate(list(rows.values()), parameters, asked.adapter)
        for position, output in zip(rows, outputs, strict=True):
            done[position] = self._completion(output.outputs[0], firsts)
        return [done[position] for position in range(len(asked.prompts))]

    def score(self, scored: Scored) -> list[float | Failed]:
        """The natural-log likelihood of each answer, in order."""
        # vLLM writes at least one token more.
        rows, answers, failed = rows_to_score(self._tokenizer, self._source, scored.pairs, self._limit - 1)
        done: dict[int, float | Failed] = {**failed}
        outputs = self._generate(list(rows.values()), _scoring(), scored.adapter)
        for (position, row), output in zip(rows.items(), outputs, strict=True):
            start = len(row) - answers[position]
            steps = zip(row[start:], output.prompt_logprobs[start:], strict=True)
            done[position] = math.fsum(step[token].logprob for token, step in steps)
        return [done[position] for position in range(len(scored.pairs))]

    def _generate(self, prompts: list[list[int]], parameters: Any, adapter: Path | None) -> list[Any]:
        if not prompts:
            return []
        with enough_memory(self._source, MORE_ROOM):
            outputs: list[Any] = self._llm.generate(
                [{"prompt_token_ids": prompt} for prompt in prompts],
                parameters,
                use_tqdm=False,
                lora_request=self._adapters[adapter] if adapter else None,
            )
        return outputs

    def _completion(self, output: Any, firsts: list[int]) -> Completion:
        # Decoded here and not by vLLM, which does it token by token: the same tokens are the same text in every engine.
        text = self._tokenizer.decode(output.token_ids, skip_special_tokens=True).strip()
        probabilities = tuple(math.exp(output.logprobs[0][first].logprob) for first in firsts)
        return Completion(text, Finish(output.finish_reason), probabilities)

    def _adapter(self, number: int, folder: Path) -> Any:
        from vllm.lora.request import LoRARequest

        # By number and name: vLLM keeps the first adapter that it saw under them, whatever folder is named later.
        request = LoRARequest(str(folder), number, str(folder.resolve()))
        with _readable(folder):
            self._llm.llm_engine.add_lora(request)
        return request


def _assert_devices(wanted: int) -> None:
    import torch
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        return
    found = torch.cuda.device_count()
    if found < wanted:
        raise UserError(
            f"engine vllm: {wanted} GPUs are asked for (tensor_parallel) and this machine has {found}; name another machine by "
            "REFUSEU_MACHINE, or use the engine transformers"
        )


def _load(settings: VllmSettings) -> Any:
    from vllm import LLM

    return LLM(
        str(settings.source),
        dtype=settings.dtype,
        seed=0,
        max_model_len=settings.max_model_len,
        tensor_parallel_size=settings.tensor_parallel,
        gpu_memory_utilization=settings.memory_fraction,
        enforce_eager=settings.eager,
        trust_remote_code=False,
        load_format="safetensors",
        use_tqdm_on_load=False,
        # The model's own preferences, such as a temperature, stay out; its end tokens do not.
        generation_config="vllm",
        # A small model that may write blanks writes nothing else.
        structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
        **_room_for(settings.adapters),
    )


def _room_for(adapters: Sequence[Path]) -> dict[str, Any]:
    """One adapter answers at a time; all of them wait in the host's memory."""
    if not adapters:
        return {}
    from vllm.config.lora import MaxLoRARanks

    rank = max(_rank(folder) for folder in adapters)
    ranks = [each for each in get_args(MaxLoRARanks) if each >= rank]
    if not ranks:
        raise ValueError(f"an adapter of rank {rank} is more than vLLM can hold, {max(get_args(MaxLoRARanks))}")
    return {
        "enable_lora": True,
        "max_loras": 1,
        "max_cpu_loras": len(adapters),
        "max_lora_rank": min(ranks),
        # Else vLLM readies the output layer for adapters too, and can then no longer give log-likelihoods.
        "lora_target_modules": sorted({module for folder in adapters for module in _modules(folder)}),
    }


def _rank(folder: Path) -> int:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return max(int(rank) for rank in (config["r"], *config.get("rank_pattern", {}).values()))


def _modules(folder: Path) -> set[str]:
    """What the adapter's weights are for, such as ``q_proj``; its config may name them by a pattern."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="np") as weights:
        return {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in weights.keys()}  # noqa: SIM118


def _parameters(prompt: Prompt, sampling: Sampling, firsts: list[int], room: int) -> Any:
    """All of it in words: vLLM has defaults of its own, 16 tokens among them."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    return SamplingParams(
        n=1,
        max_tokens=min(sampling.max_new_tokens, room),
        min_tokens=0,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        min_p=0.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        repetition_penalty=1.0,
        # A generator for each row costs time; a greedy answer needs none.
        seed=row_seed(prompt, sampling) if sampling.temperature else None,
        logprob_token_ids=firsts or None,
        structured_outputs=StructuredOutputsParams(json=sampling.schema) if sampling.schema else None,
        detokenize=False,
    )


def _scoring() -> Any:
    """Of the tokens that are there, and of no others."""
    from vllm import SamplingParams

    return SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    """Turns what loading a damaged model raises into a sentence, and what it raises where a GPU's memory does not hold it."""
    from safetensors import SafetensorError

    try:
        yield
    except (KeyError, OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{source}: vLLM cannot load it ({reason}); mend it, or take a machine that holds it") from None
