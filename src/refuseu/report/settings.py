"""The section ``report``, and what its stage reads."""

from typing import Annotated

from pydantic import Field

from refuseu.core.sections import Section
from refuseu.experiment import Experiment


class BenignPairs(Section):
    """Two configs of ``train.configs`` that show what benign pairs in the training mix do to over-refusal."""

    with_pairs: str
    """The config whose mix holds benign pairs."""
    without_pairs: str
    """The config whose mix holds none."""


class Report(Section):
    """What the report shows, and how its figures are drawn."""

    dpi: Annotated[int, Field(ge=20, le=1200)]
    """Resolution of the figures, in dots an inch."""
    benign_pairs: BenignPairs | None = None
    """The configs of the table on benign pairs and over-refusal; nothing to leave the table out."""


class ReportParameters(Experiment):
    """All parameters that the stage reads."""

    report: Report
