"""What a model answered to a test question, and how the answer is judged."""

import pyarrow as pa

from refuseu.records.schema import QUESTION_AND_LANGUAGE, Schema

ANSWER = Schema(
    {
        "model": pa.string(),
        "question_id": pa.string(),
        "lang": pa.string(),
        "kind": pa.string(),
        "category": pa.string(),
        "style": pa.string(),
        "unseen": pa.bool_(),
        "answer": pa.string(),
        "harm": pa.string(),
        "reply": pa.string(),
        "agreed": pa.bool_(),  # the judges of the panel said the same
        "lang_restricted": pa.string(),
        "lang_free": pa.string(),
        "fluency": pa.float64(),
    },
    ("model", *QUESTION_AND_LANGUAGE),
    frozenset({"unseen"}),
)
