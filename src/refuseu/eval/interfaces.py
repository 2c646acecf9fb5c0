"""Who measures fluency and knowledge."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from refuseu.core.files import Row
from refuseu.engines.protocol import Engine
from refuseu.judges.verdict import Exchange


class FluencyScorer(Protocol):
    """Says how well answers are worded."""

    def scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        """1 (not at all) to 5 of each answer; ``lang`` is the language it is in, the question's where that cannot be told."""


@dataclass(frozen=True)
class Rating:
    """What an LLM judge says of one answer, 1 (worst) to 5 each."""

    fluency: int
    correctness: int


class Rater(Protocol):
    """Rates the language of answers."""

    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        """A rating of each answer, in order, ``None`` where there is none; ``lang`` is the language that it is judged in."""


class KnowledgeTest(Protocol):
    """A test of knowledge that a model can sit in a process of its own."""

    def ask(self, engine: Engine) -> Iterable[Row]:
        """What the model chose: rows of ``records.KNOWLEDGE`` without the column ``model``."""
