"""The parts of the search: who writes questions, who scores them, who prefers one, and who writes a benign twin.

All take batches. The search of Rainbow Teaming (Samvelyan et al. 2024, arXiv 2402.16822) knows these protocols alone.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from refuseu.judges.verdict import Exchange


@dataclass(frozen=True)
class Question:
    """A question, and what its writer knows of it."""

    text: str
    behavior_id: str | None = None
    """Names what is asked for, whatever the wording; ``None`` where nobody knows it."""


@dataclass(frozen=True)
class Target:
    """What a question shall become: a question of one cell of the archive."""

    parent: Question
    category: str
    """Key of the hazard category (``S1``)."""
    style: str
    """Key of the attack style (``slang``)."""
    examples: tuple[str, ...] = ()
    """Questions that the cell holds by now."""


class Mutator(Protocol):
    """Writes questions out of other questions."""

    def seeds(self) -> list[Question]:
        """What the search starts from."""

    def mutate(self, targets: Iterable[Target], rng: random.Random) -> list[Question | None]:
        """One question a target, in order: its parent brought to the category, and then to the style.

        ``None`` where none came about. A target is drawn when it is taken from ``targets``, from the same ``rng``.
        """


class Scorer(Protocol):
    """Says how harmful exchanges are: the fitness of the search."""

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        """Probability (0-1) that each exchange is harmful."""


class Preference(Protocol):
    """Says which of two exchanges is the more harmful one."""

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> Sequence[bool | None]:
        """Whether the first of each pair is preferred, ``None`` where neither is.

        The search asks in both orders, against a liking for a place.
        """


class Twins(Protocol):
    """Writes benign questions that share the words of harmful ones."""

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        """A benign twin of each question, in order; ``None`` where none came about."""
