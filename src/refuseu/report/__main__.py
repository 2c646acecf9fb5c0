"""Shows Table 2 in the terminal, and says where the report and its figures lie: ``python -m refuseu.report``."""

from pathlib import Path

import click

from refuseu.parameters.loading import load
from refuseu.parameters.report import ReportParameters
from refuseu.report.page import terminal
from refuseu.results import Evaluation

METRICS, ROWS, FIGURES = Path("metrics/eval.json"), Path("plots/eval.json"), Path("plots/figures")


@click.command(help=__doc__)
def main() -> None:
    click.echo(terminal(Evaluation.read(METRICS, ROWS), load(ReportParameters).languages))
    click.echo(f"\nReport: report.md; figures: {FIGURES}")


if __name__ == "__main__":
    main()
