"""The refuser that the phrasebook plays."""

from collections.abc import Sequence
from hashlib import sha256

from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.interfaces import Question


class PhrasebookRefuser:
    """A refusal in the question's language; which wording follows from the question alone."""

    def __init__(self, books: dict[str, Phrasebook]) -> None:
        self._books = books

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        return [self._refusal(question) for question in questions]

    def _refusal(self, question: Question) -> str:
        refusals = self._books[question.lang].refusals
        number = int.from_bytes(sha256(question.question_id.encode()).digest()[:4], "big")
        return refusals[number % len(refusals)]
