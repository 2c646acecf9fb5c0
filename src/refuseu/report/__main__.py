"""Shows Table 2 in the terminal, and says where the report and its figures lie: ``python -m refuseu.report``."""

from pathlib import Path

import click

from refuseu.config import ReportConfig, load
from refuseu.report.page import terminal
from refuseu.report.tables import Numbers

METRICS, PLOTS = Path("metrics"), Path("plots")


@click.command(help=__doc__)
def main() -> None:
    numbers = Numbers.read(METRICS / "eval.json", PLOTS / "eval.json", PLOTS / "eval/paired.json", METRICS)
    click.echo(terminal(numbers, load(ReportConfig).languages))
    click.echo(f"\nReport: report.md; figures: {PLOTS / 'figures'}")


if __name__ == "__main__":
    main()
