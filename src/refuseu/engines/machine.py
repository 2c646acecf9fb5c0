"""Where the work runs: ``machines/<name>.yaml``. No output depends on it, so DVC does not track it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from refuseu.core.errors import UserError
from refuseu.core.faults import explained
from refuseu.core.sections import Positive, Rate, Section, machine_file

NO_VLLM = "the engine vllm needs a section vllm in machines/; name a machine that has one by REFUSEU_MACHINE (make: MACHINE=h100)"
"""What is said of a model that this machine does not run, after its name."""


class TransformersMachine(Section):
    """How the engine ``transformers`` runs."""

    batch_size: Positive
    """Conversations a forward pass."""
    device: Literal["cpu", "cuda"]


class VllmMachine(Section):
    """How the engine ``vllm`` runs."""

    tensor_parallel: Positive
    """GPUs that share a model's weights."""
    memory_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share (0-1) of each GPU's memory that one model takes, its cache among it."""
    chunk_size: Positive
    """Rows that are handed over, and kept, together: enough to keep the GPUs busy, and no more than one wants to lose."""
    eager: bool = False
    """Starts in seconds and answers more slowly: nothing is compiled."""


class RayMachine(Section):
    """How the models of ``transformers`` and ``vllm`` are spread over a Ray cluster."""

    workers: Positive
    """Processes that each hold every model they are asked for."""
    batch_size: Positive
    """Rows that a worker is given at once."""
    cpus_per_worker: Positive
    gpus_per_worker: Annotated[int, Field(ge=0)]
    """With vLLM as many as ``vllm.tensor_parallel``."""
    address: str | None = None
    """Of a cluster that runs (``host:6379``); nothing for one that is started on this machine and ended with the stage."""


class OpenaiMachine(Section):
    """Where the engine ``openai`` finds its models, and how it asks them."""

    base_url: str | None = None
    """Of the endpoint, as ``http://127.0.0.1:8000/v1``; nothing for OpenAI's own."""
    base_urls: dict[str, str | None] = Field(default_factory=dict)
    """Of those models that lie elsewhere, by their name in the profile; nothing again for OpenAI's own."""
    concurrency: Positive
    """Requests that are under way at once."""
    retries: Annotated[int, Field(ge=0)]
    """How often a request is sent again that the endpoint was too busy for."""
    timeout: Rate
    """Seconds that an answer may take."""

    def url_of(self, name: str) -> str | None:
        """Where one of the profile's models is; ``None`` for OpenAI's own."""
        return self.base_urls.get(name, self.base_url)


class Machine(Section):
    """One machine, or several that work together."""

    workers: Positive
    """Processes that share the evaluated models out; a core each."""
    loaded: Positive
    """Models that lie in memory at the same time; the one asked longest ago makes room for the next."""
    transformers: TransformersMachine
    openai: OpenaiMachine
    vllm: VllmMachine | None = None
    """Nothing for a machine that vLLM shall not run on."""
    ray: RayMachine | None = None
    """Nothing for a machine that works alone."""

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        if self.vllm and self.vllm.memory_fraction * self.loaded > 1:
            raise ValueError(
                f"vllm.memory_fraction: {self.loaded} models (loaded) do not fit together when each takes "
                f"{self.vllm.memory_fraction} of a GPU's memory; lower one of the two"
            )
        return self


def load_machine(root: Path = Path()) -> Machine:
    """The machine that ``REFUSEU_MACHINE`` names, the two cores of ``machines/cpu.yaml`` by default.

    Raises:
        UserError: for a machine that has no file, and for every key that is unknown, missing or out of range.
    """
    path, content = machine_file(root)
    # A training reads its own section; an edit there is no matter of the stages that ask models.
    content = (
        {key: each for key, each in content.items() if key != "training"} if isinstance(content, dict) else content
    )
    try:
        return Machine.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {explained(error, content)}") from None
