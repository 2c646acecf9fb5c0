"""Which answers an LLM judge rates, and the columns of ``records.ANSWER`` that its ratings are."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from refuseu.eval.interfaces import Rater, Rating
from refuseu.experiment import Kind
from refuseu.judges.verdict import Exchange


@dataclass(frozen=True)
class Rated:
    """Who rates, and how many answers in each language."""

    rater: Rater
    per_language: int


def rating_columns(questions: pd.DataFrame, exchanges: Sequence[Exchange], part: Rated | None) -> dict[str, Any]:
    """Whether each answer was rated, and its marks; ``None`` where there is none, because it was not asked or not parsed."""
    rated: dict[int, Rating | None] = {}
    if part is not None:
        places = chosen(questions, part.per_language)
        rated = dict(zip(places, part.rater.ratings([exchanges[place] for place in places]), strict=True))
    ratings = [rated.get(place) for place in range(len(exchanges))]
    return {
        "rated": [rated[place] is not None if place in rated else None for place in range(len(exchanges))],
        "rated_fluency": np.array([rating and rating.fluency for rating in ratings], dtype=float),
        "rated_correctness": np.array([rating and rating.correctness for rating in ratings], dtype=float),
    }


def chosen(questions: pd.DataFrame, count: int) -> list[int]:
    """Positions, ascending, of at most ``count`` questions a language to rate.

    Benign questions, since a refusal and what follows a harmful behavior are worded in other ways; where there are none, as in a
    test set without twins, the harmful ones.
    """
    benign = [place for place, kind in enumerate(questions["kind"]) if kind == Kind.BENIGN]
    places = benign or list(range(len(questions)))
    asked = questions.iloc[places]
    return [places[own] for own in drawn(list(asked["question_id"]), list(asked["lang"]), count)]


def drawn(question_ids: Sequence[str], langs: Sequence[str], count: int) -> list[int]:
    """Positions, ascending, of at most ``count`` questions a language: those whose ids have the least hashes.

    So the choice depends on no order, and languages that share their questions are asked the same ones.
    """
    found: list[int] = []
    for lang in dict.fromkeys(langs):
        own = [position for position, each in enumerate(langs) if each == lang]
        found += sorted(own, key=lambda position: sha256(question_ids[position].encode()).digest())[:count]
    return sorted(found)
