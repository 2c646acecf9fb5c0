"""A row that a stage did not keep, and why."""

import pyarrow as pa

from refuseu.records.schema import Schema

REJECTION = Schema({"question_id": pa.string(), "lang": pa.string(), "reason": pa.string()})
