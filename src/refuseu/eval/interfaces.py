"""The roles of the evaluation: who scores fluency, and who rates answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from refuseu.judges.verdict import Exchange


class FluencyScorer(Protocol):
    """Scores how well answers are worded."""

    def scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        """The score of each answer from 1 (worst) to 5, in order.

        An exchange's ``lang`` is the language that its answer is in, or the question's where that is unknown.
        """


@dataclass(frozen=True)
class Rating:
    """An LLM judge's marks for one answer, from 1 (worst) to 5."""

    fluency: int
    correctness: int


class Rater(Protocol):
    """Rates the language of answers."""

    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        """The rating of each answer, in order; ``None`` where there is none. ``lang`` is the language that it is rated in."""
