"""What a model chose in one question of knowledge."""

import pyarrow as pa

from refuseu.records.schema import Schema

KNOWLEDGE = Schema(
    {
        "model": pa.string(),
        "test": pa.string(),
        "question_id": pa.string(),
        "lang": pa.string(),
        "correct": pa.bool_(),
        "margin": pa.float64(),  # log-likelihood of the right option, less the best wrong one, as the test compares them
        "source": pa.string(),  # where the questions come from, with versions
    },
    ("model", "test", "question_id", "lang"),
)
