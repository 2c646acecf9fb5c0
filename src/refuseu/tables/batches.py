"""Tables that are gone through a batch of rows at a time, for texts that do not fit into memory as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.schema import WAY_OUT, Schema, opened

BATCH = 65_536
"""Rows that are held at once; with answers of real models about 150 MB."""


@dataclass(frozen=True)
class Batches:
    """A table that an earlier stage wrote, ``BATCH`` rows at a time.

    It can be gone through again and again. The index of a row is its position in the table.
    """

    path: Path
    schema: Schema
    columns: tuple[str, ...]
    """Those that are read, beside the key."""

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """The rows in their order.

        Raises:
            UserError: as ``read_table``, but for a table without rows.
        """
        start = 0
        columns = [*self.schema.key, *self.columns]
        with opened(self.path, self.schema) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                rows = batch.to_pandas()
                rows.index += start
                gap = self.schema.gap(rows)
                if gap:
                    raise UserError(f"{self.path}: {gap}; {WAY_OUT}")
                yield rows
                start += len(rows)

    def complete(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """``rows`` of this table, by their index and in its order, with the columns that they lack; a batch at a time."""
        for batch in self:
            here = rows.loc[batch.index[0] : batch.index[-1]]
            yield here.join(batch[batch.columns.difference(here.columns)])
