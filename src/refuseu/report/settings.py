"""The section ``report``, and what its stage reads."""

from typing import Annotated

from pydantic import Field

from refuseu.core.sections import Section
from refuseu.experiment import Languages


class Report(Section):
    """How the figures are drawn."""

    dpi: Annotated[int, Field(ge=20, le=1200)]
    """Resolution of the figures, in dots an inch."""


class ReportParameters(Section):
    languages: Languages
    report: Report
