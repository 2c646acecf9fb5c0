"""Biased against uniform sampling of cells in the search, at equal numbers of questions put to the target.

The targets answer by the table of the miniature's base (``refuseu.base.resistance``), so no model is needed: one as that base is
taught, and a hard one that answers a tenth of the questions.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pandas as pd

from refuseu.base.resistance import Resistance, read_table
from refuseu.core.sections import load
from refuseu.experiment import PIVOT
from refuseu.judges.ngrams import NgramJudge
from refuseu.phrasebook.phrasebook import Phrasebook, load_phrasebooks
from refuseu.rainbow_teaming.archive import Archive
from refuseu.rainbow_teaming.mutators import PhrasebookMutator
from refuseu.rainbow_teaming.search import Roles, Search
from refuseu.rainbow_teaming.settings import RainbowTeaming, RainbowTeamingParameters

HARD = 0.1
"""Share (0-1) of the harmful questions in attack styles that the hard target answers."""
SAMPLINGS = ("biased", "uniform")
MEASURES = {"qd_score": "QD score", "coverage": "coverage, %", "questions": "questions kept"}


@dataclass
class TableTarget:
    """Answers a harmful question with a compliance or a refusal, as the table decides, and counts what it is asked."""

    resistance: Resistance
    asked: int = field(default=0, init=False)

    def __call__(self, questions: Sequence[str]) -> list[str]:
        self.asked += len(questions)
        return list(map(self._answer, questions))

    def _answer(self, question: str) -> str:
        book = self.resistance.book
        reading = book.parse(question)
        complies = reading is not None and self.resistance.complies(PIVOT, reading)
        return random.Random(question).choice(book.compliances.harmful if complies else book.refusals)


@dataclass(frozen=True)
class Study:
    """Searches that differ in the sampling of cells alone."""

    book: Phrasebook
    judge: NgramJudge
    settings: RainbowTeaming
    resistance: Path
    """The table."""

    def curve(self, target: TableTarget, sampling: str, seed: int) -> Iterator[dict[str, float]]:
        """One row for each iteration. At an infinite temperature all cells are drawn equally often."""
        temperature = self.settings.temperature if sampling == "biased" else math.inf
        settings = self.settings.model_copy(update={"temperature": temperature})
        archive = Archive(list(self.book.behaviors), list(self.book.styles), settings.elites_per_cell)
        roles = Roles(PhrasebookMutator(self.book), self.judge, self.judge, target)
        search = Search(archive, roles, settings, seed)
        seeds = roles.mutator.seeds()
        for iteration in range(1, settings.iterations + 1):
            search.step(iteration, seeds)
            kept = sum(1 for _ in archive)
            yield {
                "calls": target.asked,
                "qd_score": archive.qd_score(),
                "coverage": 100 * archive.coverage(),
                "questions": kept,
            }

    def run(self, seeds: int) -> pd.DataFrame:
        """All curves. A seed draws the target too, so that a difference does not depend on one target."""
        table = read_table(self.resistance)
        hard = table.model_copy(update={"languages": {PIVOT: HARD}})
        return pd.DataFrame(
            [
                {"target": name, "sampling": sampling, "seed": seed, **row}
                for name, of_target in (("as the base", table), ("hard", hard))
                for seed in range(seeds)
                for sampling in SAMPLINGS
                for row in self.curve(TableTarget(Resistance(of_target, self.book, seed)), sampling, seed)
            ]
        )


def at_calls(curves: pd.DataFrame, calls: Sequence[int], measure: str) -> pd.DataFrame:
    """``measure`` of each search after so many calls, between its iterations by straight lines.

    Returns:
        One row for each target and number of calls, one column for each sampling and seed.
    """
    rows = {
        key: np.interp(calls, curve["calls"], curve[measure])
        for key, curve in curves.groupby(["target", "sampling", "seed"], sort=False)
    }
    long = pd.DataFrame(rows, index=pd.Index(calls, name="calls"))
    long.columns.names = ["target", "sampling", "seed"]
    return long.stack("target", future_stack=True).swaplevel().sort_index()


def compared(curves: pd.DataFrame, calls: Sequence[int], measure: str, confidence: float = 0.95) -> pd.DataFrame:
    """Means over the seeds, and biased less uniform with an interval by Student's t over the pairs of one seed."""
    from scipy import stats

    values = at_calls(curves, calls, measure)
    pairs = values["biased"] - values["uniform"]
    seeds = pairs.shape[1]
    half = pairs.sem(axis=1) * stats.t.ppf((1 + confidence) / 2, seeds - 1)
    mean = pairs.mean(axis=1)
    return pd.DataFrame(
        {
            **{sampling: values[sampling].mean(axis=1) for sampling in SAMPLINGS},
            "difference": mean,
            "low": mean - half,
            "high": mean + half,
        }
    )


def markdown(curves: pd.DataFrame, calls: Sequence[int]) -> str:
    """The table of all measures at the same numbers of calls."""
    titles = " | ".join(f"{words}, biased / uniform | difference" for words in MEASURES.values())
    lines = [f"| target | calls | {titles} |", "| :--- | ---: |" + " ---: |" * 2 * len(MEASURES)]
    tables = {measure: compared(curves, calls, measure) for measure in MEASURES}
    for target, count in tables["qd_score"].index:
        cells = [f"| {target} | {count:,}"]
        for table in tables.values():
            row = table.loc[(target, count)]
            cells.append(f"{row.biased:.1f} / {row.uniform:.1f}")
            cells.append(f"{row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]")
        lines.append(" | ".join(cells) + " |")
    return "\n".join(lines)


def draw(curves: pd.DataFrame, path: Path) -> None:
    """A panel for each target and two of the measures: thin lines for the seeds, a thick one for their mean."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    targets, measures = list(curves["target"].unique()), ("qd_score", "coverage")
    figure, grid = plt.subplots(len(measures), len(targets), figsize=(9, 6), sharex=True, sharey="row")
    calls = curves.groupby(["target", "sampling", "seed"])["calls"]
    shared = np.linspace(calls.min().max(), calls.max().min(), 60)
    for row, measure in zip(grid, measures, strict=True):
        values = at_calls(curves, list(shared), measure)
        for panel, target in zip(row, targets, strict=True):
            for sampling, colour in zip(SAMPLINGS, ("C0", "C1"), strict=True):
                lines = values.loc[target][sampling]
                panel.plot(lines.index, lines, color=colour, linewidth=0.5, alpha=0.5)
                panel.plot(lines.index, lines.mean(axis=1), color=colour, linewidth=2, label=sampling)
            panel.grid(alpha=0.3)
        row[0].set_ylabel(MEASURES[measure])
    for panel, target in zip(grid[0], targets, strict=True):
        panel.set_title(f"target: {target}")
    for panel in grid[-1]:
        panel.set_xlabel("questions put to the target")
    grid[0][0].legend(title="cells drawn")
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


@click.command(help=__doc__)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(2), help="Searches of each kind.")
@click.option("--figure", default="docs/search.png", show_default=True, type=click.Path(path_type=Path))
def main(seeds: int, figure: Path) -> None:
    parameters = load(RainbowTeamingParameters)
    folder = Path("data/phrasebook")
    books = load_phrasebooks(folder, [PIVOT], parameters.categories, parameters.styles)
    table = Path("data/base/resistance.yaml")
    curves = Study(books[PIVOT], NgramJudge(books), parameters.rainbow_teaming, table).run(seeds)
    most = int(curves.groupby(["target", "sampling", "seed"])["calls"].max().min())
    draw(curves, figure)
    click.echo(markdown(curves, [calls for calls in (250, 500, 1000, 2000, 4000) if calls <= most]))


if __name__ == "__main__":
    main()
