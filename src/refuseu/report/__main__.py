"""Shows Table 2 in the terminal, and says where the report and its figures lie: ``python -m refuseu.report``."""

from pathlib import Path

import click

from refuseu.config import ReportConfig, load
from refuseu.records import read_json
from refuseu.report.page import terminal
from refuseu.report.tables import Numbers

METRICS, ROWS, FIGURES = Path("metrics/eval.json"), Path("plots/eval.json"), Path("plots/figures")


@click.command(help=__doc__)
def main() -> None:
    numbers = Numbers(read_json(METRICS), read_json(ROWS), paired=[], stages={})
    click.echo(terminal(numbers, load(ReportConfig).languages))
    click.echo(f"\nReport: report.md; figures: {FIGURES}")


if __name__ == "__main__":
    main()
