"""A preference pair that a model is trained on."""

import pyarrow as pa

from refuseu.core.schema import Schema

MIX = Schema(
    {name: pa.string() for name in ("question_id", "lang", "kind", "prompt", "chosen", "rejected")},
)
