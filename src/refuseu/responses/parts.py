"""Who writes the chosen answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Asked:
    """A question that shall be refused."""

    question_id: str
    lang: str
    text: str


class Refuser(Protocol):
    """Refuses."""

    def refuse(self, questions: Sequence[Asked]) -> list[str | None]:
        """A refusal of each question in its language, in order; ``None`` where none came about."""
