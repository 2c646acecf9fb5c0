"""The section ``report``, and what its stage reads."""

from typing import Annotated

from pydantic import Field

from refuseu.parameters.experiment import Languages
from refuseu.parameters.section import Section


class Report(Section):
    """How the figures are drawn."""

    dpi: Annotated[int, Field(ge=20, le=1200)]
    """Resolution of the figures, in dots an inch."""


class ReportParameters(Section):
    languages: Languages
    report: Report
