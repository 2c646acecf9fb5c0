"""Make the paper's table and figures of all metrics and rows."""

import os
from pathlib import Path

import click

from refuseu.core.files import write_text
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.figures.gallery import draw
from refuseu.figures.rows import PlotRows
from refuseu.report.page import Numbers, markdown
from refuseu.report.settings import ReportParameters
from refuseu.results.outputs import Evaluation


@click.command(help=__doc__)
@path_option("--rows", "plots/eval.json", "One row a (model, language).")
@path_option("--plots", "plots/eval", "Folder of the averages and the evaluation's other rows.")
@path_option("--search", "plots/rainbow-teaming/search.json", "One row an iteration of the search.")
@path_option("--curves", "plots/dpo", "Folder of training curves.")
@path_option("--stages", "metrics", "Folder of the stages' metrics.")
@path_option("--paper", "data/paper/asr.csv", "The paper's Table 1.")
@path_option("--audit", "data/audit", "Folder of people's labels of answers, if there are any.")
@path_option("--figures", "plots/figures")
@path_option("--out", "report.md", "The report, in Markdown.")
def main(
    rows: Path,
    plots: Path,
    search: Path,
    curves: Path,
    stages: Path,
    paper: Path,
    audit: Path,
    figures: Path,
    out: Path,
) -> None:
    parameters = load(ReportParameters)
    evaluation = Evaluation.read(plots / "averages.json", rows)
    numbers = Numbers.read(evaluation, plots, stages, paper, search, audit)
    found = PlotRows.read(parameters, evaluation, plots, search, curves)
    drawn = draw(found, parameters.languages, parameters.report.dpi, figures)
    link = Path(os.path.relpath(figures, out.parent)).as_posix()
    write_text(markdown(numbers, parameters, drawn, link), out)


if __name__ == "__main__":
    main()
