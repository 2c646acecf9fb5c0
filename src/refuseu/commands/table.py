"""Shows Table 2 in the terminal, and says where the report and its figures lie: ``python -m refuseu.commands.table``."""

from pathlib import Path

import click

from refuseu.core.sections import load
from refuseu.report.page import terminal
from refuseu.report.settings import ReportParameters
from refuseu.results.outputs import Evaluation

AVERAGES, ROWS, FIGURES = Path("plots/eval/averages.json"), Path("plots/eval.json"), Path("plots/figures")


@click.command(help=__doc__)
def main() -> None:
    click.echo(terminal(Evaluation.read(AVERAGES, ROWS), load(ReportParameters).languages))
    click.echo(f"\nReport: report.md; figures: {FIGURES}")


if __name__ == "__main__":
    main()
