"""What the stage hands on, whichever way it came to its questions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from refuseu.experiment import Experiment

NOTED = 0.5
"""Share (0-1) of a category's candidates that were not written from which on it is said."""


@dataclass(frozen=True)
class Found:
    """The questions that the stage hands on, and how they were found."""

    questions: pd.DataFrame
    """``schemas.ELITE``."""
    summary: dict[str, Any]
    """The account of the questions; after a search also the last row of ``history``."""
    history: Sequence[Mapping[str, Any]]
    """One row for each iteration of the search; empty where there was no search."""
    cells: Sequence[Mapping[str, Any]]
    """One row for each cell of the archive."""


def cells_of(questions: pd.DataFrame, experiment: Experiment) -> list[dict[str, Any]]:
    """Return one row for each cell that holds a question, as people read it.

    The fitness is not known, nor is the style where the set gives none.
    """
    order = list(experiment.categories)
    cells = Counter(zip(questions["category"], questions["style"].where(questions["style"].notna(), None), strict=True))
    return [
        {
            "category": experiment.category(category),
            "style": style and experiment.style(style),
            "elites": count,
            "best_fitness": None,
        }
        for (category, style), count in sorted(
            cells.items(), key=lambda cell: (order.index(cell[0][0]), str(cell[0][1]))
        )
    ]
