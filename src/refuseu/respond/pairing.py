"""Gives each question a chosen and a rejected answer.

Harmful question: chosen is a refusal in its language, rejected is what the un-aligned base answers, or what a
published set holds. Benign question: the
other way round, so that a model does not learn to refuse everything.
"""

from collections.abc import Sequence

import pandas as pd

from refuseu.experiment import Kind
from refuseu.respond.interfaces import Refuser, questions_of_rows


def pair_up(questions: pd.DataFrame, answers: Sequence[str], refuser: Refuser) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs, and rejections (``records.REJECTION``) of questions that lack an answer.

    Pairs are ``questions`` with the columns ``chosen`` and ``rejected``; ``answers`` are the others, in the same order.
    """
    refusals = pd.Series(
        [refusal or "" for refusal in refuser.refuse(questions_of_rows(questions))], index=questions.index, dtype=str
    )
    said = pd.Series(list(answers), index=questions.index, dtype=str)
    harmful = questions["kind"] == Kind.HARMFUL
    pairs = questions.assign(chosen=refusals.where(harmful, said), rejected=said.where(harmful, refusals))
    empty = (refusals == "") | (said == "")
    return pairs[~empty], pairs.loc[empty, ["question_id", "lang"]].assign(reason="empty answer")
