"""Mutators: given a question and what it should become, they write another one.

Rainbow Teaming mutates one feature dimension after the other, each by a prompt to an LLM; here a rule over the phrasebook
does the rewriting. Both take and give text alone.
"""

import random
from typing import Protocol

from refuseu.phrasebook import Ask, Phrasebook, Reading
from refuseu.taxonomy import PLAIN


class Mutator(Protocol):
    def to_category(self, question: str, category: str, rng: random.Random) -> str:
        """The question, asking for something of hazard ``category``."""

    def to_style(self, question: str, style: str, rng: random.Random) -> str:
        """The question, put in attack style ``style``."""


class PhrasebookMutator:
    """Exchanges the ask for one of the category, and the frame for a wording of the style."""

    def __init__(self, book: Phrasebook) -> None:
        self._book = book

    def seeds(self) -> list[str]:
        """Every harmful ask, put plainly: what the search starts from."""
        return [
            self._book.compose(Reading(PLAIN, 0, Ask(category, ask_id, "harmful")))
            for category, pairs in self._book.asks.items()
            for ask_id in pairs
        ]

    def to_category(self, question: str, category: str, rng: random.Random) -> str:
        reading = self._read(question)
        ask = Ask(category, rng.choice(list(self._book.asks[category])), "harmful")
        return self._book.compose(Reading(reading.style, reading.frame, ask))

    def to_style(self, question: str, style: str, rng: random.Random) -> str:
        frame = rng.randrange(len(self._book.styles[style]))
        return self._book.compose(Reading(style, frame, self._read(question).ask))

    def benign_twin(self, question: str) -> str:
        """The same frame with the benign ask that shares the harmful one's words."""
        reading = self._read(question)
        return self._book.compose(
            Reading(reading.style, reading.frame, Ask(reading.ask.category, reading.ask.ask_id, "benign"))
        )

    def ask_id(self, question: str) -> str:
        return self._read(question).ask.ask_id

    def _read(self, question: str) -> Reading:
        reading = self._book.parse(question)
        if reading is None:
            raise ValueError(f"not a question of the {self._book.language} phrasebook: {question!r}")
        return reading
