"""What the stage ``release`` reads; it has no section of its own."""

from typing import Annotated

from pydantic import ConfigDict, Field

from refuseu.base.settings import Base, TrainedBase
from refuseu.core.sections import Section
from refuseu.dpo.settings import Dpo
from refuseu.experiment import Experiment
from refuseu.llm.settings import BASE, Weights
from refuseu.mixes import Train


class Licensed(Weights):
    """One of the profile's models, of whatever engine: what it is called, and its licence."""

    model: str | None = None
    """The name of a served model."""


class Named(Section):
    """Entries of another stage's section, as far as cards name them; that stage checks the others."""

    model_config = ConfigDict(extra="ignore")


class Role(Named):
    """Who plays a role."""

    kind: str
    model: str | None = None
    models: Annotated[list[str], Field(default_factory=list)]


class Responded(Named):
    refuser: Role
    rejected: Role


class SetLicence(Named):
    """The published set."""

    source: str
    license: str | None = None


class ReleaseParameters(Experiment):
    models: dict[str, Licensed]
    published: SetLicence
    mutator: Annotated[Role, Field(alias="rainbow-teaming.mutator")]
    twin: Annotated[Role, Field(alias="rainbow-teaming.twin")]
    translator: Annotated[Role, Field(alias="translate.translator")]
    respond: Responded
    base: Base
    train: Train
    dpo: Dpo

    @property
    def model(self) -> Licensed:
        """The base."""
        return self.models[BASE]

    @property
    def has_real_answers(self) -> bool:
        """Whether the answers that are no refusals are not the miniature's, which are empty shells."""
        return not (self.respond.rejected.kind == BASE and isinstance(self.base, TrainedBase))
