"""What a model answered to a question of a test set that others made."""

import pyarrow as pa

from refuseu.records.answer import ANSWER
from refuseu.records.schema import Schema

SET_ANSWER = Schema(
    {
        "set": pa.string(),  # its name in eval.sets; question_id is the number of the row there
        **{name: each for name, each in ANSWER.columns.items() if name not in ("style", "unseen")},
    },
    ("set", *ANSWER.key),
    frozenset({"category"}),
)
