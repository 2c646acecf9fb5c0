"""Fluency and correctness by an LLM judge, 1 to 5 each, of the answers to prompts of their own (``rated_prompts``).

Fluency is how naturally a text reads, and correctness how free of errors its language is (paper: "fluency, and linguistic
correctness"). What is said in the text counts for neither.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from refuseu.eval.interfaces import Rater, Rating
from refuseu.eval.schemas import RATING
from refuseu.experiment import LANGUAGES
from refuseu.judges.verdict import Exchange
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Engine, Sampling, completed
from refuseu.llm.writing import json_object, strict_schema
from refuseu.mixes import Seeded

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

        An answer without a letter is not asked about and has none.
        """
        ratable = [any(map(str.isalpha, each.answer or "")) for each in exchanges]
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
class PromptRating:
    """What is asked for the sake of its language, and who rates the answers."""

    prompts: pd.DataFrame
    """Rows of ``rated_prompts.COLUMNS``; they are asked beside the questions, of every model."""
    rater: Rater

    def table(self, answers: Mapping[Seeded, Sequence[str]]) -> pd.DataFrame:
        """What each model answered, and the marks: rows of ``schemas.RATING``.

        Args:
            answers: by model, in the order of the prompts. The answers of all models are rated in one batch. Each is rated in the
                language of its prompt, so one in another language is no fluent answer.
        """
        rows = pd.concat(
            [self.prompts.assign(model=model.name, seed=model.seed, answer=texts) for model, texts in answers.items()]
        )
        ratings = self.rater.ratings(list(map(Exchange, rows["lang"], rows["text"], rows["answer"])))
        return rows.assign(
            rated=[rating is not None for rating in ratings],
            fluency=np.array([rating and rating.fluency for rating in ratings], dtype=float),
            correctness=np.array([rating and rating.correctness for rating in ratings], dtype=float),
        )[list(RATING.columns)]
