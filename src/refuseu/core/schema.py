"""What a table is: its columns, its key, and how it is read back."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.errors import UserError

QUESTION_AND_LANGUAGE = ("question_id", "lang")
"""The key of every table of questions."""


@dataclass(frozen=True)
class Schema:
    """Columns by name, those that name a row, and those that may lack a value, where nobody can know it."""

    columns: dict[str, pa.DataType]
    key: tuple[str, ...] = QUESTION_AND_LANGUAGE
    nullable: frozenset[str] = frozenset()

    def gap(self, rows: pd.DataFrame) -> str | None:
        """The first row that lacks a value which it must have, and which value; ``rows`` hold columns of this table alone."""
        missing = rows[[name for name in rows if name not in self.nullable]].isna()
        for column in missing.columns[missing.any()]:
            return f"{self.row_name(rows, int(missing[column].argmax()))} has no {column}"
        return None

    def row_name(self, rows: pd.DataFrame, place: int) -> str:
        """A row as a reader finds it again: ``row 3 (question_id q1, lang de)``, by its index, which counts from 0."""
        return f"row {rows.index[place] + 1} ({', '.join(f'{name} {rows[name].iloc[place]}' for name in self.key)})"


def read_table(path: Path, schema: Schema, without: Collection[str] = ()) -> pd.DataFrame:
    """Read a table that an earlier stage wrote; the columns ``without`` are left on the disk.

    Raises:
        UserError: for a file that is missing or no parquet, other columns than the schema's, no rows, or a missing value.
    """
    with opened(path, schema) as file:
        rows = file.read([name for name in schema.columns if name not in without]).to_pandas()
    gap = schema.gap(rows) if len(rows) else "holds no rows; metrics/*.json say what was rejected, and why"
    if gap:
        raise UserError(f"{path}: {gap}; {WAY_OUT}")
    return rows


@contextmanager
def opened(path: Path, schema: Schema) -> Iterator[pq.ParquetFile]:
    """The file, whose columns are the schema's; whatever Arrow says against it, while it is read too, is one sentence."""
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
