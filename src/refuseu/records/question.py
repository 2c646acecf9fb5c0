"""A question in one language."""

import pyarrow as pa

from refuseu.records.schema import Schema

QUESTION = Schema(
    {
        "question_id": pa.string(),  # names the question in all its languages
        "lang": pa.string(),
        "kind": pa.string(),  # harmful | benign
        "slot_id": pa.string(),  # the harmful question; its benign twin and all translations share it
        "category": pa.string(),
        "style": pa.string(),
        "ask_id": pa.string(),  # what is asked for, whatever the wording; null where nobody knows it
        "text": pa.string(),
    },
    nullable=frozenset({"ask_id"}),
)
