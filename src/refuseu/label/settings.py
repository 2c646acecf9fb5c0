"""The section ``label`` (the panel and the labelling protocol), and the parameters of its stage."""

from typing import Literal, Self

from pydantic import model_validator

from refuseu.engines.registry import Models
from refuseu.experiment import Experiment
from refuseu.judges.panel import PanelSettings
from refuseu.text.identification import PY3LANGID, Identification

Quorum = Literal["all", "any"]


class Label(PanelSettings):
    """Who judges, and which pairs are kept."""

    question: Quorum
    """A harmful question is kept when all (any) of the judges call it harmful, a benign one when they call it safe."""
    chosen: Quorum
    """A chosen answer is kept when all (any) of the judges call it what it should be."""
    rejected: Quorum
    """A rejected answer is kept when all (any) of the judges call it what it should be."""

    @model_validator(mode="after")
    def _can_keep_a_pair(self) -> Self:
        """A pair needs a judge that tells refusals, and as many that know questions as ``question`` asks for."""
        if not any(judge.reports_refusals for judge in self.judges.values()):
            raise ValueError(
                "judges: none of them reports refusals, so no pair could be kept; add one that does (docs/judges.md)"
            )
        silent = [name for name, judge in self.judges.items() if not judge.judges_questions]
        if len(silent) == len(self.judges) or (silent and self.question == "all"):
            raise ValueError(
                f"judges.{silent[0]}: judges answers alone, so no question could be kept; "
                f"name another judge for the questions (judges.{silent[0]}.questions)"
            )
        return self


class LabelParameters(Experiment):
    """The parameters of the stage ``label``."""

    identifier: Identification = PY3LANGID
    models: Models
    label: Label
