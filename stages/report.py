"""Make the paper's table and figures of all metrics and rows."""

import os
from pathlib import Path

import click

from refuseu.figures.gallery import draw
from refuseu.figures.rows import PlotRows
from refuseu.files.options import path_option
from refuseu.files.writing import write_text
from refuseu.parameters.loading import load
from refuseu.parameters.report import ReportParameters
from refuseu.report.page import Numbers, markdown
from refuseu.results import Evaluation


@click.command(help=__doc__)
@path_option("--metrics", help="Averages of every model.")
@path_option("--rows", help="One row a (model, language).")
@path_option("--plots", help="Folder of the evaluation's other rows.")
@path_option("--search", help="One row an iteration of the search.")
@path_option("--curves", help="Folder of training curves.")
@path_option("--stages", help="Folder of the stages' metrics.")
@path_option("--figures")
@path_option("--out", help="The report, in Markdown.")
def main(
    metrics: Path, rows: Path, plots: Path, search: Path, curves: Path, stages: Path, figures: Path, out: Path
) -> None:
    parameters = load(ReportParameters)
    evaluation = Evaluation.read(metrics, rows)
    numbers = Numbers.read(evaluation, plots, stages)
    drawn = draw(PlotRows.read(evaluation, plots, search, curves), parameters.languages, parameters.report.dpi, figures)
    link = Path(os.path.relpath(figures, out.parent)).as_posix()
    write_text(markdown(numbers, parameters.languages, drawn, link), out)


if __name__ == "__main__":
    main()
