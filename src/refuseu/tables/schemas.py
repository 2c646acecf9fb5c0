"""The tables that several stages read and write, from a question to the parts of the split."""

import pyarrow as pa

from refuseu.core.schema import Schema

QUESTION = Schema(
    {
        "question_id": pa.string(),  # names the question in all its languages
        "lang": pa.string(),
        "kind": pa.string(),  # harmful | benign
        "group_id": pa.string(),  # the harmful question; its benign twin and all translations share it
        "category": pa.string(),
        "style": pa.string(),
        "behavior_id": pa.string(),  # what is asked for, whatever the wording; null where nobody knows it
        "text": pa.string(),
    },
    nullable=frozenset({"behavior_id"}),
)
"""A question in one language."""

ELITE = Schema(
    {**QUESTION.columns, "fitness": pa.float64(), "iteration": pa.int64()},
    nullable=QUESTION.nullable | {"fitness", "iteration"},  # where no search found it
)
"""A question as the search found it, in English."""

TRANSLATION = Schema(
    {
        **QUESTION.columns,
        "lang_restricted": pa.string(),  # identified among the project's languages
        "lang_free": pa.string(),  # identified among all languages the identifier knows
        "chrf": pa.float64(),  # of the back-translation, 0-100
    },
    nullable=QUESTION.nullable,
)
"""A question as it was brought into a language."""

PAIR = Schema({**QUESTION.columns, "chosen": pa.string(), "rejected": pa.string()}, nullable=QUESTION.nullable)
"""A question with its two answers."""

PART = Schema(
    {**PAIR.columns, "held_out": pa.bool_()},  # whether train never asks for this; null where behavior_id is
    nullable=PAIR.nullable | {"held_out"},
)
"""A pair in one part of the split: train, dev or test."""

REJECTION = Schema({"question_id": pa.string(), "lang": pa.string(), "reason": pa.string()})
"""A row that a stage did not keep, and why."""
