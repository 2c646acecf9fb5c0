"""What a model chose in one question of knowledge."""

import pyarrow as pa

from refuseu.records.schema import Schema

KNOWLEDGE = Schema(
    {
        "model": pa.string(),
        "fact_id": pa.string(),
        "lang": pa.string(),
        "correct": pa.bool_(),
        "margin": pa.float64(),  # log-likelihood a character of the right option, less the best wrong one
    },
    ("model", "fact_id", "lang"),
)
