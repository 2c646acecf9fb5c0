"""Who writes the chosen answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd


@dataclass(frozen=True)
class Question:
    """A question that shall be refused."""

    question_id: str
    lang: str
    text: str


def questions_of_rows(questions: pd.DataFrame) -> list[Question]:
    """The rows of a table of questions (``records.QUESTION``), in order."""
    return list(map(Question, questions["question_id"], questions["lang"], questions["text"]))


class Refuser(Protocol):
    """Refuses."""

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        """A refusal of each question in its language, in order; ``None`` where none came about."""
