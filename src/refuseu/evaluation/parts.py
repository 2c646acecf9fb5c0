"""Who measures fluency and knowledge."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from refuseu.engines.protocol import Engine
from refuseu.files.reading import Row
from refuseu.judges.verdict import Exchange


class FluencyScorer(Protocol):
    """Says how well answers are worded."""

    def scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        """1 (not at all) to 5 of each answer; ``lang`` is the language it is in, the question's where that cannot be told."""


class KnowledgeTest(Protocol):
    """A test of knowledge that a model can sit in a process of its own."""

    def ask(self, engine: Engine) -> Iterable[Row]:
        """What the model chose: rows of ``records.KNOWLEDGE`` without the column ``model``."""
