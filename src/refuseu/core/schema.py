"""The schema of a table, its columns and its key, and the reader of tables."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.errors import UserError

QUESTION_AND_LANGUAGE = ("question_id", "lang")
"""The columns that identify a row in every table of questions."""


@dataclass(frozen=True)
class Schema:
    """The columns of a table by name, its key, which no two rows share, the columns in which a value may be missing because
    nobody can know it, and by column the values that it may hold, where they are listed.
    """

    columns: dict[str, pa.DataType]
    key: tuple[str, ...] = QUESTION_AND_LANGUAGE
    nullable: frozenset[str] = frozenset()
    values: Mapping[str, Collection[str]] = field(default_factory=dict)

    def gap(self, rows: pd.DataFrame) -> str | None:
        """A sentence on the first row that lacks a required value, or ``None``. ``rows`` hold only columns of this table."""
        missing = rows[[name for name in rows if name not in self.nullable]].isna()
        for column in missing.columns[missing.any()]:
            return f"{self.row_name(rows, int(missing[column].argmax()))} has no {column}"
        return None

    def strange(self, rows: pd.DataFrame, values: Mapping[str, Collection[str]] | None = None) -> str | None:
        """The first value that is not among the ``values`` of its column, by default the schema's, with its row, or ``None``."""
        for column, known in (self.values if values is None else values).items():
            wrong = rows[column].notna() & ~rows[column].isin(list(known)) if column in rows else pd.Series(dtype=bool)
            if wrong.any():
                place = int(wrong.argmax())
                return f"{self.row_name(rows, place)} has the {column} {rows[column].iloc[place]!r}"
        return None

    def fault(self, rows: pd.DataFrame) -> str | None:
        """A sentence on the first row that lacks a value or has one that is not listed, or ``None``."""
        if strange := self.strange(rows):
            return f"{strange}, which no stage writes"
        return self.gap(rows)

    def repeated(self, keys: pd.DataFrame) -> str | None:
        """A sentence on the first row whose key an earlier row has, or ``None``."""
        again = keys.duplicated(list(self.key))
        return f"{self.row_name(keys, int(again.argmax()))} stands twice" if again.any() else None

    def row_name(self, rows: pd.DataFrame, place: int) -> str:
        """A name by which a reader finds the row again: ``row 3 (question_id q1, lang de)``. ``place`` counts from 0."""
        return f"row {rows.index[place] + 1} ({', '.join(f'{name} {rows[name].iloc[place]}' for name in self.key)})"


def read_table(path: Path, schema: Schema, without: Collection[str] = ()) -> pd.DataFrame:
    """Read a table that an earlier stage wrote. The columns in ``without`` are not read.

    Raises:
        UserError: for a file that is missing or is not parquet, for columns other than the schema's, for a table without rows,
            for a missing value or one that is not listed, and for a key that stands twice.
    """
    with opened(path, schema) as file:
        rows = file.read([name for name in schema.columns if name not in without]).to_pandas()
    none = None if len(rows) else "holds no rows; metrics/*.json say what was rejected, and why"
    if fault := none or schema.fault(rows) or schema.repeated(rows):
        raise UserError(f"{path}: {fault}; {WAY_OUT}")
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
            assert_room(file, path)
            yield file
    except MemoryError:
        raise UserError(
            f"{path}: is too large for the memory that is free; free some, or take a machine with more"
        ) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise UserError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); {WAY_OUT}") from None


def assert_room(file: pq.ParquetFile, path: Path) -> None:
    """Fail before reading where memory cannot hold the table: a few bytes of parquet may stand for gigabytes.

    Raises:
        UserError: with the least that it takes, by what its own metadata say.
    """
    import psutil

    about = file.metadata
    stored = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    # A column of a repeated value takes no room in the file, and at least this in memory.
    least, free = max(stored, 8 * about.num_rows * about.num_columns), psutil.virtual_memory().available
    if least > free:
        raise UserError(
            f"{path}: takes at least {least / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; free some, or see "
            "whether the file is what it should be"
        )


WAY_OUT = "'dvc checkout' brings the last good one back, 'dvc repro' makes it anew"
