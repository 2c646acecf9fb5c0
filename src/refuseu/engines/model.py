"""What the pipeline may ask of a profile's model before it is opened. Every engine derives its settings from these classes."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from refuseu.core.errors import UserError
from refuseu.core.sections import Section
from refuseu.engines.machine import (
    EngineMachine,
    Machine,
    missing_package,
    missing_ray,
    missing_section,
)
from refuseu.llm.protocol import LoadedEngine, RowEngine
from refuseu.llm.settings import WeightsSettings
from refuseu.llm.size import Size, Spread
from refuseu.llm.versions import versioned
from refuseu.weights.reference import ModelReference
from refuseu.weights.template import NONE, Variables


class Model(Section):
    """One of the profile's models.

    An engine derives a class from ``LocalModel`` or ``ServedModel`` and marks it ``@final``, so that mypy rejects it while one
    of the abstract methods is missing.
    """

    engine: str
    chat_template_kwargs: Variables = NONE
    """What its chat template is given, by the names of the template's variables; a judge's own stand above them."""
    section: ClassVar[type[EngineMachine]]
    """What ``machines/*.yaml`` says of the engine, under the engine's name."""
    package: ClassVar[str]
    """The package that the engine is built on."""
    install: ClassVar[str]
    """What ``uv pip install`` is given to bring it."""

    @property
    def given(self) -> str:
        """What its chat template is given, as it stands in the keys of its rows; nothing where that is nothing."""
        return "" if self.chat_template_kwargs == NONE else f" {self.chat_template_kwargs}"

    def missing(self, name: str, machine: Machine) -> list[str]:
        """What the model takes and is not here (a section of the machine, a package, a key), a sentence each.

        Nothing is loaded and nobody is asked. ``name`` is how the sentences call the model; a served model's is the one that it
        has in the profile.
        """
        user = f"{name}: the engine {self.engine}"
        section = [] if machine.section(self.section) else [missing_section(name, self.engine)]
        return [*section, *missing_package(self.package, user, self.install)]

    def assert_ready(self, name: str, machine: Machine) -> None:
        """
        Raises:
            UserError: with the first sentence of ``missing``.
        """
        for sentence in self.missing(name, machine):
            raise UserError(sentence)


@dataclass(frozen=True)
class InProcess:
    """How transformers computes in the process that asks."""

    dtype: str
    device: str
    batch_size: int
    """Rows a forward pass."""


class LocalModel(Model, WeightsSettings):
    """A model whose weights are loaded where the work runs. It gives log-likelihoods, and begins an answer as it is told."""

    dtype: str
    """The numbers that it computes in; they decide its answers."""

    def missing(self, name: str, machine: Machine) -> list[str]:
        return [*super().missing(name, machine), *(missing_ray() if machine.ray else [])]

    computed_by: ClassVar[tuple[str, ...]]
    """The packages that compute what it says: the engine's, and those that it takes in several versions."""

    @property
    def numbers(self) -> str:
        """All but the weights that decides what the model says: what computes, in which version and in which numbers, and what
        its template is given.
        """
        return f"{' '.join(map(versioned, self.computed_by))} {self.dtype}{self.given}"

    @property
    def context_length(self) -> int | None:
        """Tokens that a prompt and its answer may have together, where the profile limits them."""
        return None

    @abstractmethod
    def load(
        self, reference: ModelReference, identity: str, machine: Machine, adapters: tuple[Path, ...]
    ) -> LoadedEngine:
        """The model in memory; ``adapters`` are the LoRA folders that it will be asked with.

        Raises:
            UserError: when the model cannot be fetched or read, or the machine lacks what it takes.
        """

    def spread(self, machine: Machine, size: Size | None) -> Spread:
        """How the model's copies are spread over the machine's GPUs; ``size`` is the model's, ``None`` where nobody tells it.

        This decides how fast it answers, and not what.
        """
        return machine.for_model(self.repo, self.gpus_of_a_copy(machine, size))

    @abstractmethod
    def gpus_of_a_copy(self, machine: Machine, size: Size | None) -> int:
        """GPUs that share a copy where the machine's file says nothing of this model; 0 where CPUs compute."""

    def memory_share(self, machine: Machine) -> float:
        """Share (0-1) of a GPU's memory that a copy may take."""
        return 1.0

    def is_alone(self, machine: Machine) -> bool:
        """Whether only one process may hold models, because another one would take the same GPU or the same cluster."""
        return machine.ray is not None

    def in_process(self, machine: Machine) -> InProcess | None:
        """How transformers computes with the weights; ``None`` for an engine that is not transformers.

        Models of other kinds than engines answer with, such as translation models, are loaded by this.
        """
        return None


class ServedModel(Model):
    """A model behind a server. It gives no log-likelihoods, and its answers begin as it likes."""

    key: str | None = None
    """Name of the environment variable that holds the key; the key itself stands in no file. With a key, rows are paid for."""
    license: str | None = None
    """Of what it writes, for cards."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What its rows are kept under."""

    @abstractmethod
    def address(self, name: str, machine: Machine) -> str:
        """The URL of its server, without a password; ``name`` is the model's in the profile."""

    @abstractmethod
    def open(self, name: str, machine: Machine) -> RowEngine:
        """The engine that asks the server; nothing is sent yet.

        Raises:
            UserError: when the machine lacks what it takes.
        """
