"""Columns and types of the tables that several stages share, from the questions to the parts of the split."""

import pyarrow as pa

from refuseu.core.schema import Schema
from refuseu.experiment import Kind

QUESTION = Schema(
    {
        "question_id": pa.string(),  # names the question in all its languages
        "lang": pa.string(),
        "kind": pa.string(),  # harmful | benign
        "group_id": pa.string(),  # question group: a harmful question, its benign twin and all their translations
        "category": pa.string(),
        "style": pa.string(),  # null where a set of others gives none
        "behavior_id": pa.string(),  # the behavior that is asked for, in whatever wording; null where it is not known
        "frame_id": pa.string(),  # the wording that the behavior stands in, whatever the language; null where it is not known
        "text": pa.string(),
    },
    nullable=frozenset({"behavior_id", "frame_id", "style"}),
    values={"kind": [*Kind]},
)
"""A question in one language."""

ELITE = Schema(
    {
        **QUESTION.columns,
        "fitness": pa.float64(),
        "iteration": pa.int64(),
        "written_by": pa.string(),  # the profile's model that generated the question
    },
    # Fitness and iteration are null for questions that no search found, the model for those that no generator wrote.
    nullable=QUESTION.nullable | {"fitness", "iteration", "written_by"},
    values=QUESTION.values,
)
"""A question as the stage rainbow-teaming has it: in English, or in each language where models wrote it there."""

TRANSLATION = Schema(
    {
        **QUESTION.columns,
        "lang_restricted": pa.string(),  # identified among the project's languages
        "lang_free": pa.string(),  # identified among all languages that the identifier knows
        "chrf": pa.float64(),  # of the back-translation, 0-100; null for a question that was written in its language
    },
    nullable=QUESTION.nullable | {"chrf"},
    values=QUESTION.values,
)
"""A question in each language."""

PAIR = Schema(
    {**QUESTION.columns, "chosen": pa.string(), "rejected": pa.string()},
    nullable=QUESTION.nullable,
    values=QUESTION.values,
)
"""A preference pair: a question with its chosen and its rejected answer."""

LABELLED = Schema(
    {
        **PAIR.columns,
        "accepted": pa.bool_(),  # the protocol accepts the whole pair, so it may be trained on and published
        "complied": pa.bool_(),  # the panel says that the un-aligned model did what it was asked; for harm, that it did harm
    },
    nullable=PAIR.nullable,
    values=QUESTION.values,
)
"""A pair whose question is what it should be, by the panel, and in its language."""

PART = Schema(
    {
        **PAIR.columns,
        "held_out": pa.bool_(),  # whether train has no question of this behavior; null as behavior_id
        "held_out_frame": pa.bool_(),  # whether train has no question in this frame; null as frame_id
    },
    nullable=PAIR.nullable | {"held_out", "held_out_frame"},
    values=QUESTION.values,
)
"""A pair of the train part."""

TEST = Schema(PART.columns, nullable=PART.nullable | {"category", "chosen", "rejected"}, values=QUESTION.values)
"""A question of the dev or the test part, with its answers where the pair was accepted.

A published set gives its test questions without answers and without a category.
"""

REJECTION = Schema({"question_id": pa.string(), "lang": pa.string(), "reason": pa.string()})
"""A row that a stage did not keep, with the reason."""
