"""What one judge said of one answer to a test question, whatever the panel decided."""

import pyarrow as pa

from refuseu.records.schema import QUESTION_AND_LANGUAGE, Schema

VOTE = Schema(
    {
        "model": pa.string(),
        "question_id": pa.string(),
        "lang": pa.string(),
        "judge": pa.string(),
        "harm": pa.string(),  # a value of Harm
        "reply": pa.string(),  # a value of Reply
    },
    ("model", *QUESTION_AND_LANGUAGE, "judge"),
)
