"""Shows Table 2 in the terminal, and says where the report and its figures lie: ``python -m refuseu.commands.table``.

With ``--readme`` it writes the README's table of results instead, after a run whose results are to be committed.
"""

from pathlib import Path

import click

from refuseu.core.files import write_between
from refuseu.core.sections import load
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.report.page import terminal
from refuseu.report.settings import ReportParameters
from refuseu.report.tables import summary_table
from refuseu.results.outputs import Evaluation

AVERAGES, ROWS, FIGURES = Path("plots/eval/averages.json"), Path("plots/eval.json"), Path("plots/figures")
README = Path("README.md")
BEGIN, END = "<!-- results: python -m refuseu.commands.table --readme -->", "<!-- end of results -->"
"""The lines of ``README`` between which its table stands."""


@click.command(help=__doc__)
@click.option("--readme", is_flag=True, help="Write the README's table of results.")
def main(readme: bool) -> None:
    tolerate_encodings()
    evaluation = Evaluation.read(AVERAGES, ROWS)
    if readme:
        write_between(summary_table(evaluation).markdown(), README, BEGIN, END)
        return
    say(terminal(evaluation, load(ReportParameters).languages))
    say(f"\nReport: report.md; figures: {FIGURES}")


if __name__ == "__main__":
    main()
