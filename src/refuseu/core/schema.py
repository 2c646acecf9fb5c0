"""The schema of a table, its columns and its key, and the reader of tables."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.errors import UserError

QUESTION_AND_LANGUAGE = ("question_id", "lang")
"""The columns that identify a row in every table of questions."""


@dataclass(frozen=True)
class Schema:
    """The columns of a table by name, its key, and the columns in which a value may be missing because nobody can know it."""

    columns: dict[str, pa.DataType]
    key: tuple[str, ...] = QUESTION_AND_LANGUAGE
    nullable: frozenset[str] = frozenset()

    def gap(self, rows: pd.DataFrame) -> str | None:
        """A sentence on the first row that lacks a required value, or ``None``. ``rows`` hold only columns of this table."""
        missing = rows[[name for name in rows if name not in self.nullable]].isna()
        for column in missing.columns[missing.any()]:
            return f"{self.row_name(rows, int(missing[column].argmax()))} has no {column}"
        return None

    def row_name(self, rows: pd.DataFrame, place: int) -> str:
        """A name by which a reader finds the row again: ``row 3 (question_id q1, lang de)``. ``place`` counts from 0."""
        return f"row {rows.index[place] + 1} ({', '.join(f'{name} {rows[name].iloc[place]}' for name in self.key)})"


def read_table(path: Path, schema: Schema, without: Collection[str] = ()) -> pd.DataFrame:
    """Read a table that an earlier stage wrote. The columns in ``without`` are not read.

    Raises:
        UserError: for a file that is missing or is not parquet, for columns other than the schema's, for a table without rows,
            and for a missing value.
    """
    with opened(path, schema) as file:
        rows = file.read([name for name in schema.columns if name not in without]).to_pandas()
    gap = schema.gap(rows) if len(rows) else "holds no rows; metrics/*.json say what was rejected, and why"
    if gap:
        raise UserError(f"{path}: {gap}; {WAY_OUT}")
    return rows


@contextmanager
def opened(path: Path, schema: Schema) -> Iterator[pq.ParquetFile]:
    """Open the file and make sure that its columns are the schema's. An error of Arrow, also a later one, becomes a sentence."""
    try:
        with pq.ParquetFile(path) as file:
            wrong = sorted(
                {(each.name, each.type) for each in file.schema_arrow} ^ set(schema.columns.items()), key=str
            )
            if wrong:
                raise UserError(f"{path}: unexpected columns, first {wrong[0][0]!r} ({wrong[0][1]}); {WAY_OUT}")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); {WAY_OUT}") from None


WAY_OUT = "'dvc checkout' brings the last good one back, 'dvc repro' makes it anew"
