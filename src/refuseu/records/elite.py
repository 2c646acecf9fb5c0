"""A question as the search found it."""

import pyarrow as pa

from refuseu.records.question import QUESTION
from refuseu.records.schema import Schema

ELITE = Schema(
    {**QUESTION.columns, "fitness": pa.float64(), "iteration": pa.int64()},
    nullable=QUESTION.nullable | {"fitness", "iteration"},  # where no search found it
)
