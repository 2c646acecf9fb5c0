"""Gives each question a chosen and a rejected answer.

Harmful question: chosen is a refusal in its language, rejected is what the un-aligned base answers. Benign question: the
other way round, so that a model does not learn to refuse everything.
"""

from hashlib import sha256

import pandas as pd

from refuseu.phrasebook import Phrasebook


def refusal_for(question_id: str, book: Phrasebook) -> str:
    """A refusal in the book's language; which wording follows from the question alone."""
    number = int.from_bytes(sha256(question_id.encode()).digest()[:4], "big")
    return book.refusals[number % len(book.refusals)]


def pair_up(questions: pd.DataFrame, answers: list[str], books: dict[str, Phrasebook]) -> pd.DataFrame:
    """``questions`` with the columns ``chosen`` and ``rejected``; ``answers`` are the base's, in the same order."""
    pairs = questions.assign(answer=answers)
    refusals = [refusal_for(row.question_id, books[row.lang]) for row in questions.itertuples()]
    harmful = pairs["kind"] == "harmful"
    pairs["chosen"] = pd.Series(refusals, index=pairs.index).where(harmful, pairs["answer"])
    pairs["rejected"] = pairs["answer"].where(harmful, pd.Series(refusals, index=pairs.index))
    return pairs.drop(columns="answer")


def reject_empty(pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs with both answers, and rejections (``records.REJECTION``) of those where the base said nothing."""
    empty = (pairs["chosen"] == "") | (pairs["rejected"] == "")
    return pairs[~empty], pairs.loc[empty, ["question_id", "lang"]].assign(reason="empty answer")
