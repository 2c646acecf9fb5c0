"""Who writes the chosen answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd


@dataclass(frozen=True)
class Asked:
    """A question that shall be refused."""

    question_id: str
    lang: str
    text: str


def asked_of(questions: pd.DataFrame) -> list[Asked]:
    """The rows of a table of questions (``records.QUESTION``), in order."""
    return list(map(Asked, questions["question_id"], questions["lang"], questions["text"]))


class Refuser(Protocol):
    """Refuses."""

    def refuse(self, questions: Sequence[Asked]) -> list[str | None]:
        """A refusal of each question in its language, in order; ``None`` where none came about."""
