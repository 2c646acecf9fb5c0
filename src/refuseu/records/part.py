"""A pair in one part of the split: train, dev or test."""

import pyarrow as pa

from refuseu.records.pair import PAIR
from refuseu.records.schema import Schema

PART = Schema(
    {**PAIR.columns, "unseen": pa.bool_()},  # whether train never asks for this; null where ask_id is
    nullable=PAIR.nullable | {"unseen"},
)
