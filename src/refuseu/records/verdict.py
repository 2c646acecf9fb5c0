"""What one judge said of one text."""

import pyarrow as pa

from refuseu.records.schema import QUESTION_AND_LANGUAGE, Schema

VERDICT = Schema(
    {
        "question_id": pa.string(),
        "lang": pa.string(),
        "item": pa.string(),  # question | chosen | rejected
        "judge": pa.string(),
        "harm": pa.string(),  # a value of Harm
        "reply": pa.string(),  # a value of Reply
    },
    (*QUESTION_AND_LANGUAGE, "item", "judge"),
)
