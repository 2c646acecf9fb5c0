"""Answers that a published set holds."""

from collections.abc import Sequence

from refuseu.respond.interfaces import Question
from refuseu.sources.published import PublishedPair, PublishedSet


class PublishedAnswers:
    """Gives the set's own answers to its questions, and none to questions in other words."""

    def __init__(self, published: PublishedSet) -> None:
        self._published = published

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        """The chosen answers, in order."""
        return [pair.chosen if pair else None for pair in map(self._pair, questions)]

    def rejected(self, questions: Sequence[Question]) -> list[str]:
        """The rejected answers, in order; empty where there is none."""
        return [pair.rejected if pair else "" for pair in map(self._pair, questions)]

    def _pair(self, asked: Question) -> PublishedPair | None:
        pair = self._published.by_row.get((asked.question_id, asked.lang))
        return pair if pair and pair.question == asked.text else None
