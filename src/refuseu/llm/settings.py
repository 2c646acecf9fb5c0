"""What a profile says of its models, whatever engine runs them; an engine's own settings stand in the engine's file."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from refuseu.core.sections import Positive, Section
from refuseu.weights.reference import check_revision, is_folder

BASE = "base"
"""The model of this name is the un-aligned base; its engine and its numbers are those of all aligned models too."""


class WeightsSettings(Section):
    """Where the weights of a model in the format of the Hugging Face hub are."""

    repo: str | None = None
    """A repository of the hub (``org/name``), or a folder that begins with ``/`` or ``.``; nothing for a base made here."""
    revision: str | None = None
    """A commit of the repository, 40 hexadecimal digits; left open, the newest is looked up."""
    license: str | None = None
    """Of the weights, for model cards."""

    @model_validator(mode="after")
    def _may_have_a_revision(self) -> Self:
        check_revision(self.revision, self.repo)
        return self

    @property
    def in_folder(self) -> bool:
        """Whether the weights are a folder's of this machine, and no repository's."""
        return self.repo is not None and is_folder(self.repo)


class Weights(WeightsSettings):
    """One of the profile's ``models``, read by a stage that does not ask it: of its entries, those about its weights alone."""

    model_config = ConfigDict(extra="ignore")


class Drawn(Section):
    """How the words of a role that models play are drawn."""

    max_new_tokens: Positive
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0


class ModelRole(Drawn):
    """A role that one model plays."""

    model: str
    """One of the profile's ``models``."""


class PhrasebookRole(Section):
    """A role that the phrasebook plays, which knows only its own texts."""

    kind: Literal["phrasebook"]


class NoRole(Section):
    """A role that nobody plays."""

    kind: Literal["none"]
