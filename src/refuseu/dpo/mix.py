"""The schema of a training mix: one preference pair in each row."""

import pyarrow as pa

from refuseu.core.schema import Schema

MIX = Schema(
    {name: pa.string() for name in ("question_id", "lang", "kind", "prompt", "chosen", "rejected")},
)
