"""Reads the tables that earlier stages wrote: as a whole, checked against ``params.yaml``, or a batch of rows at a time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.schema import WAY_OUT, Schema, opened, read_table
from refuseu.experiment import Kind

Known = Mapping[str, Collection[str]]
"""Column to the values that it may hold."""
BATCH = 65_536
"""Rows that are held in memory at once: about 150 MB with the answers of real models."""


def question_values(languages: Collection[str], categories: Collection[str], styles: Collection[str]) -> Known:
    """Return the values that the columns of a table of questions may hold under these parameters."""
    return {"lang": languages, "kind": list(Kind), "category": categories, "style": styles}


def read_known(
    path: Path, schema: Schema, known: Known, without: Collection[str] = (), every: str | None = None
) -> pd.DataFrame:
    """Read a table whose columns hold only ``known`` values, or none where the schema allows that.

    The columns ``without`` are not read. Of the column ``every`` each known value must be there.

    A table that an earlier stage wrote under other parameters is refused in this way.

    Raises:
        UserError: as ``read_table``, for a row with another value, and for a value of ``every`` without a row.
    """
    rows = read_table(path, schema, without)
    if strange := schema.strange(rows, known):
        raise UserError(f"{path}: {strange}, which params.yaml does not name; 'dvc repro' makes the table anew")
    missing = [value for value in known[every] if value not in set(rows[every])] if every else []
    if missing:
        raise UserError(
            f"{path}: has no row with the {every} {', '.join(missing)}, which params.yaml names; take it out there, or "
            "'dvc repro' makes the table anew"
        )
    return rows


@dataclass(frozen=True)
class Batches:
    """A table that is read ``BATCH`` rows at a time, for texts that do not fit into memory together.

    It can be iterated over as often as needed. The index of a row is its position in the whole table.
    """

    path: Path
    schema: Schema
    columns: tuple[str, ...]
    """The columns that are read, in addition to the key."""

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the batches in the order of the table.

        Raises:
            UserError: as ``read_table``, but not for a table without rows.
        """
        start = 0
        columns = [*self.schema.key, *self.columns]
        with opened(self.path, self.schema) as file:
            if repeated := self.schema.repeated(file.read(list(self.schema.key)).to_pandas()):
                raise UserError(f"{self.path}: {repeated}; {WAY_OUT}")
            for batch in file.iter_batches(BATCH, columns=columns):
                rows = batch.to_pandas()
                rows.index += start
                if fault := self.schema.fault(rows):
                    raise UserError(f"{self.path}: {fault}; {WAY_OUT}")
                yield rows
                start += len(rows)

    def complete(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Add to ``rows`` the columns of this table that they lack, and yield them a batch at a time.

        ``rows`` are rows of this table with their index, in the order of the table.
        """
        for batch in self:
            here = rows.loc[batch.index[0] : batch.index[-1]]
            yield here.join(batch[batch.columns.difference(here.columns)])
