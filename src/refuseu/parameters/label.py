"""The section ``label``: the judges and the labelling protocol, and what its stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.parameters.experiment import Experiment
from refuseu.parameters.section import Section

Quorum = Literal["all", "any"]


class JudgePart(Section):
    """A judge of the miniature: it knows the phrasebook and needs no model."""

    kind: Literal["lexicon", "ngrams", "nearest"]


class Label(Section):
    """Who judges, and which pairs are kept."""

    judges: Annotated[dict[str, JudgePart], Field(min_length=1)]
    """The panel, by the names that the judges have in tables."""
    adjudicator: JudgePart
    """Decides in evaluation where the judges differ."""
    question: Quorum
    """A question is kept when all (any) of the judges call it harmful; a benign one when they call it safe."""
    chosen: Quorum
    """A chosen answer is kept when all (any) of the judges call it what it should be."""
    rejected: Quorum
    """A rejected answer is kept when all (any) of the judges call it what it should be."""


class LabelParameters(Experiment):
    label: Label
