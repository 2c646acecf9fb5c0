"""Make the paper's table and figures of all metrics and rows."""

import os
from pathlib import Path

import click

from refuseu.config import ReportConfig, load
from refuseu.figures.gallery import draw
from refuseu.figures.rows import PlotRows
from refuseu.records import write_text
from refuseu.report.page import Numbers, markdown
from refuseu.results import Evaluation


@click.command(help=__doc__)
@click.option("--metrics", type=click.Path(path_type=Path), required=True, help="Averages of every model.")
@click.option("--rows", type=click.Path(path_type=Path), required=True, help="One row a (config, language).")
@click.option("--plots", type=click.Path(path_type=Path), required=True, help="Folder of the evaluation's other rows.")
@click.option("--search", type=click.Path(path_type=Path), required=True, help="One row an iteration of the search.")
@click.option("--curves", type=click.Path(path_type=Path), required=True, help="Folder of training curves.")
@click.option("--stages", type=click.Path(path_type=Path), required=True, help="Folder of the stages' metrics.")
@click.option("--figures", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The report, in Markdown.")
def main(
    metrics: Path, rows: Path, plots: Path, search: Path, curves: Path, stages: Path, figures: Path, out: Path
) -> None:
    config = load(ReportConfig)
    evaluation = Evaluation.read(metrics, rows)
    numbers = Numbers.read(evaluation, plots / "paired.json", stages)
    drawn = draw(PlotRows.read(evaluation, plots, search, curves), config.languages, config.report.dpi, figures)
    link = Path(os.path.relpath(figures, out.parent)).as_posix()
    write_text(markdown(numbers, config.languages, drawn, link), out)


if __name__ == "__main__":
    main()
