"""What a model answered to a question of a test set that others made."""

import pyarrow as pa

from refuseu.records.answer import ANSWER
from refuseu.records.schema import Schema

OURS_ALONE = frozenset({"style", "unseen", "rated", "rated_fluency", "rated_correctness"})
"""What is told of answers to our own questions alone."""
SET_ANSWER = Schema(
    {
        "set": pa.string(),  # its name in eval.sets; question_id is the number of the row there
        **{name: each for name, each in ANSWER.columns.items() if name not in OURS_ALONE},
    },
    ("set", *ANSWER.key),
    frozenset({"category", "fluency"}),
)
