"""Fluency and correctness by an LLM judge, 1 to 5 each: the paper's evaluation of 50 prompts a language.

Fluency is how naturally a text reads, and correctness how free of errors its language is (paper: "fluency, and linguistic
correctness"). What is said in the text counts for neither.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from refuseu.eval.interfaces import Rater, Rating
from refuseu.experiment import LANGUAGES, Kind
from refuseu.judges.verdict import Exchange
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Engine, Sampling, completed
from refuseu.llm.writing import json_object, strict_schema

PLACEHOLDERS = ("language", "question", "answer")
MARKS = (1, 2, 3, 4, 5)
"""From worst to best."""
SCHEMA = json.dumps(strict_schema({name: {"type": "integer", "enum": MARKS} for name in Rating.__dataclass_fields__}))


@dataclass(frozen=True)
class ChatRater:
    """Asks a chat model about each answer by itself."""

    engine: Engine
    sampling: Sampling
    prompt: PromptTemplate
    """With ``PLACEHOLDERS``."""

    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        """A rating of each answer against the exchange's language, in order; ``None`` where the reply was no rating.

        An answer without a letter, or in a language that the project does not know, is not asked about and has none.
        """
        ratable = [each.lang in LANGUAGES and any(map(str.isalpha, each.answer or "")) for each in exchanges]
        conversations = [
            self.prompt.conversation(
                language=LANGUAGES[each.lang].name, question=each.question, answer=each.answer or ""
            )
            for each, asked in zip(exchanges, ratable, strict=True)
            if asked
        ]
        completions = iter(completed(self.engine, conversations, replace(self.sampling, schema=SCHEMA)))
        return [parsed(next(completions)) if asked else None for asked in ratable]


def parsed(completion: Completion) -> Rating | None:
    """The rating that a whole completion holds as JSON; ``None`` for anything else."""
    value = json_object(completion) or {}
    whole = set(value) == set(Rating.__dataclass_fields__)
    # A truth value is an int to Python, and True is 1.
    return Rating(**value) if whole and all(type(mark) is int and mark in MARKS for mark in value.values()) else None


@dataclass(frozen=True)
class SampleRater:
    """Who rates, and how many answers in each language."""

    rater: Rater
    per_language: int


def rating_columns(
    questions: pd.DataFrame, exchanges: Sequence[Exchange], sample_rater: SampleRater | None
) -> dict[str, Any]:
    """The columns of ``schemas.ANSWER`` about ratings: whether each answer was rated, and its marks.

    ``None`` stands where there are none: ``rated`` is ``None`` for an answer that was not asked about, and false for one whose
    rating could not be read.
    """
    rated: dict[int, Rating | None] = {}
    if sample_rater is not None:
        places = places_to_rate(questions, sample_rater.per_language)
        ratings = sample_rater.rater.ratings([exchanges[place] for place in places])
        rated = dict(zip(places, ratings, strict=True))
    of_each = [rated.get(place) for place in range(len(exchanges))]
    return {
        "rated": [rated[place] is not None if place in rated else None for place in range(len(exchanges))],
        "rated_fluency": np.array([rating and rating.fluency for rating in of_each], dtype=float),
        "rated_correctness": np.array([rating and rating.correctness for rating in of_each], dtype=float),
    }


def places_to_rate(questions: pd.DataFrame, count: int) -> list[int]:
    """The positions, ascending, of at most ``count`` questions a language whose answers are rated.

    These are benign questions, since refusals and answers to harmful questions are worded in other ways. Where there are no
    benign ones, as in a test part without twins, they are harmful ones.
    """
    benign = [place for place, kind in enumerate(questions["kind"]) if kind == Kind.BENIGN]
    places = benign or list(range(len(questions)))
    candidates = questions.iloc[places]
    return [places[own] for own in sampled(list(candidates["question_id"]), list(candidates["lang"]), count)]


def sampled(question_ids: Sequence[str], langs: Sequence[str], count: int) -> list[int]:
    """The positions, ascending, of at most ``count`` questions a language: those whose ids have the smallest hashes.

    So the sample depends on no order, and languages that share their questions have the same sample.
    """
    found: list[int] = []
    for lang in dict.fromkeys(langs):
        own = [position for position, each in enumerate(langs) if each == lang]
        found += sorted(own, key=lambda position: sha256(question_ids[position].encode()).digest())[:count]
    return sorted(found)
