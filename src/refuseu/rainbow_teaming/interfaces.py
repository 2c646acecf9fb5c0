"""The roles of the search: who writes questions, who scores them, who compares two of them, and who writes benign twins.

All roles take batches. The search of Rainbow Teaming (Samvelyan et al. 2024, arXiv 2402.16822) uses only these protocols.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from refuseu.judges.verdict import Exchange


@dataclass(frozen=True)
class Question:
    """A question, and the behavior that it asks for."""

    text: str
    behavior_id: str | None = None
    """Id of the behavior, whatever the wording; ``None`` where it is not known."""
    frame_id: str | None = None
    """Id of the wording, whatever the behavior (``Reading.frame_id``); ``None`` where it is not known."""


@dataclass(frozen=True)
class Seed:
    """A question that the search starts from."""

    question: Question
    category: str | None
    """Key of its hazard category; ``None`` where the seed set does not give one."""


@dataclass(frozen=True)
class Target:
    """The cell of the archive that a question shall be rewritten for."""

    parent: Question
    """The question that is rewritten."""
    category: str
    """Key of the hazard category (``S1``)."""
    style: str
    """Key of the attack style (``slang``)."""
    seed: str
    """What is drawn for this target is drawn by this alone, so that no other target changes it."""
    examples: tuple[str, ...] = ()
    """The questions that the cell holds already, the oldest first."""


class Mutator(Protocol):
    """Rewrites questions into new ones."""

    def seeds(self) -> list[Question]:
        """Return the questions that the search starts from."""

    def mutate(self, targets: Sequence[Target]) -> list[Question | None]:
        """Return one question for each target, in order: its parent, rewritten for the category and then for the style.

        It is ``None`` where no question was written.
        """


class Scorer(Protocol):
    """Scores how harmful exchanges are; the score is the fitness in the search."""

    def harm_scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        """Return the probability (0-1) that each exchange is harmful, in order."""


class Preference(Protocol):
    """Decides which of two exchanges is more harmful."""

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> Sequence[bool | None]:
        """Return for each pair whether the first exchange is more harmful; ``None`` where neither is.

        The search asks for both orders of a pair, because models tend to prefer one position.
        """


class Twins(Protocol):
    """Writes benign questions that share the words of harmful ones."""

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        """Return a benign twin of each question, in order; ``None`` where none was written."""
