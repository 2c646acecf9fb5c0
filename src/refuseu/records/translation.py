"""A question as it was brought into a language."""

import pyarrow as pa

from refuseu.records.question import QUESTION
from refuseu.records.schema import Schema

TRANSLATION = Schema(
    {
        **QUESTION.columns,
        "lang_restricted": pa.string(),  # identified among the project's languages
        "lang_free": pa.string(),  # identified among all languages the identifier knows
        "chrf": pa.float64(),  # of the back-translation, 0-100
    },
    nullable=QUESTION.nullable,
)
