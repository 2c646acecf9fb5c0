"""A seed set that others made: the questions that a search starts from, out of a file or a dataset of the hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refuseu.rainbow_teaming.interfaces import Question
from refuseu.rainbow_teaming.settings import SeedSet
from refuseu.sources.external import read_external


@dataclass(frozen=True)
class Seed:
    """A question to start from."""

    question: Question
    category: str | None
    """Key of its hazard category; ``None`` where the set does not tell."""


def read_seeds(seed_set: SeedSet, folder: Path, categories: Mapping[str, str]) -> list[Seed]:
    """All seeds, in the order of the set; files lie in ``folder``, ``categories`` is key to name.

    Raises:
        UserError: for a set that cannot be read, is empty or lacks a column, and for a row without a question or of no known
            category. What stands in the set is not shown, since it may be harmful.
    """
    return [
        Seed(Question(row.question(seed_set.text)), row.category(seed_set.category, categories))
        for row in read_external(seed_set, folder)
    ]
