"""A question with its two answers."""

import pyarrow as pa

from refuseu.records.question import QUESTION
from refuseu.records.schema import Schema

PAIR = Schema({**QUESTION.columns, "chosen": pa.string(), "rejected": pa.string()}, nullable=QUESTION.nullable)
