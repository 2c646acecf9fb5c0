"""Where the work runs: ``machines/<name>.yaml``. No output depends on it, so DVC does not track it."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, create_model, field_validator, model_validator

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.sections import Positive, Section, machine_file
from refuseu.llm.size import Gpus, OneModel, Spread


class EngineMachine(Section):
    """How one engine runs on a machine; each engine's file has its own."""

    def fault(self, loaded: int) -> str:
        """What is wrong when ``loaded`` models lie in memory at the same time; empty for nothing."""
        return ""


class RayMachine(Section):
    """How the models that are loaded here are spread over a Ray cluster."""

    workers: Positive | None = None
    """Processes that each hold a copy of a model; nothing for as many as the machine's ``gpus`` hold copies."""
    batch_size: Positive
    """Rows that a worker is given at once."""
    cpus_per_worker: Positive
    address: str | None = None
    """Of a cluster that runs (``host:6379``); nothing for one that is started on this machine and ended with the stage."""


Own = TypeVar("Own", bound=EngineMachine)


class Machine(Section):
    """One machine, or several that work together."""

    workers: Positive
    """Processes that share the evaluated models out; a core each."""
    loaded: Positive
    """Models that lie in memory at the same time; the one asked longest ago makes room for the next."""
    gpus: Gpus | None = None
    """From these and the size of a model follow the GPUs of a copy and the number of copies."""
    ray: RayMachine | None = None
    """Nothing for a machine that works alone."""
    engines: dict[str, EngineMachine] = Field(default_factory=dict)
    """The sections of the engines by their names. In the file they stand beside the other entries, and any may be left out."""
    environment: list[Annotated[str, Field(pattern=r"^[A-Za-z_]\w+\*?$")]] = Field(default_factory=list)
    """Variables of the shell that stages are given beside those that ``core/environment.py`` lists; ``NCCL_*`` names all that
    begin so.
    """

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, content: Any) -> Any:
        from refuseu.engines.registry import ENGINES

        if not isinstance(content, dict) or "engines" in content:
            return content
        others = {key: each for key, each in content.items() if key not in ENGINES}
        return others | {"engines": {name: content[name] for name in ENGINES if name in content}}

    @field_validator("engines", mode="before")
    @classmethod
    def _of_known_engines(cls, sections: Any) -> Any:
        from refuseu.engines.registry import ENGINES, engine_class

        fields: dict[str, Any] = {name: (engine_class(name).section | None, None) for name in ENGINES}
        found = create_model("Engines", __base__=Section, **fields).model_validate(sections)
        return {name: each for name, each in found if each is not None}

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        for name, section in self.engines.items():
            if fault := section.fault(self.loaded):
                raise ValueError(f"{name}.{fault}")
        if self.ray and not (self.ray.workers or self.gpus):
            raise ValueError("ray.workers: missing; write it, or gpus (per_node, memory_gb), from which it follows")
        return self

    def for_model(self, repo: str | None, gpus: int) -> Spread:
        """How the copies of the model of a repository are spread, where ``gpus`` hold a copy unless the file says otherwise."""
        own = (self.gpus.models if self.gpus else {}).get(repo or "", OneModel())
        gpus = gpus and (own.tensor_parallel or gpus)
        if self.ray is None:
            return Spread(1, gpus)
        there = self.gpus.per_node * self.gpus.nodes if self.gpus else 0
        return Spread(own.workers or self.ray.workers or max(1, there // (max(1, gpus) * self.loaded)), gpus)

    def section(self, kind: type[Own]) -> Own | None:
        """What the machine says of an engine."""
        return next((each for each in self.engines.values() if isinstance(each, kind)), None)


def missing_section(name: str, engine: str) -> str:
    """What is said where the machine has no section for the engine of the model ``name``."""
    return (
        f"{name}: the engine {engine} needs a section {engine} in machines/; name a machine that has one by REFUSEU_MACHINE "
        "(make: MACHINE=h100)"
    )


def needed(machine: Machine, kind: type[Own], name: str, engine: str) -> Own:
    """What the machine says of the engine of the model ``name``.

    Raises:
        UserError: when it says nothing.
    """
    found = machine.section(kind)
    if found is None:
        raise UserError(missing_section(name, engine))
    return found


def missing_package(package: str, user: str, install: str) -> list[str]:
    """The sentence on a ``package`` that ``user`` takes and is not installed; ``install`` is the command that brings it."""
    if find_spec(package):
        return []
    return [
        f"{user} takes the package {package}, which is not installed; '.venv/bin/uv pip install {install}' brings it"
    ]


def missing_ray() -> list[str]:
    """``missing_package`` of Ray, which a machine with a section ``ray`` takes."""
    return missing_package("ray", "the engine ray", "ray -c requirements-gpu.lock")


def load_machine(root: Path = Path()) -> Machine:
    """The machine that ``REFUSEU_MACHINE`` names, the two cores of ``machines/cpu.yaml`` by default.

    Raises:
        UserError: for a machine that has no file, and for every key that is unknown, missing or out of range.
    """
    path, content = machine_file(root)
    # A training reads its own section; an edit there is no matter of the stages that ask models.
    own = {key: each for key, each in content.items() if key != "training"} if isinstance(content, dict) else content
    return validated(Machine, own, path)
