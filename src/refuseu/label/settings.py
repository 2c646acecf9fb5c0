"""The section ``label``: the judges and the labelling protocol, and what its stage reads."""

from typing import Literal

from refuseu.engines.settings import Models
from refuseu.experiment import Experiment
from refuseu.judges.settings import PanelSettings

Quorum = Literal["all", "any"]


class Label(PanelSettings):
    """Who judges, and which pairs are kept."""

    question: Quorum
    """A question is kept when all (any) of the judges call it harmful; a benign one when they call it safe."""
    chosen: Quorum
    """A chosen answer is kept when all (any) of the judges call it what it should be."""
    rejected: Quorum
    """A rejected answer is kept when all (any) of the judges call it what it should be."""


class LabelParameters(Experiment):
    models: Models
    label: Label
