"""Tables as parquet, sorted by their keys.

Nothing in a table depends on the clock, the host, the path or the order of work, so the same rows are the same bytes (under
the locked pyarrow).
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.files import atomic
from refuseu.core.schema import Schema


def write_table(rows: pd.DataFrame, path: Path, schema: Schema) -> None:
    """Write ``rows`` as parquet, sorted by the key of ``schema``, with exactly its columns.

    Raises:
        ValueError: when two rows share a key or a row lacks a value.
        KeyError: when a column is missing.
    """
    write_batches([rows], path, schema)


def write_batches(batches: Iterable[pd.DataFrame], path: Path, schema: Schema) -> None:
    """Write one table of which only a batch of rows is held at once; all keys of a batch come after those of the one before.

    Raises:
        ValueError: also when the batches are in another order.
        KeyError: when a column is missing.
    """
    last: tuple[str, ...] = ()
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, pa.schema(schema.columns), compression="zstd") as writer,
    ):
        for rows in batches:
            ordered = _ordered(rows, path, schema)
            if len(ordered):
                first, final = (tuple(ordered[list(schema.key)].iloc[place]) for place in (0, -1))
                if first <= last:
                    raise ValueError(f"{path}: a batch begins with the key {first}, the one before it ends with {last}")
                last = final
            writer.write_table(pa.Table.from_pandas(ordered, schema=writer.schema, preserve_index=False))


def _ordered(rows: pd.DataFrame, path: Path, schema: Schema) -> pd.DataFrame:
    key = list(schema.key)
    if rows.duplicated(key).any():
        raise ValueError(f"{path}: two rows share the key {key}")
    ordered = rows.sort_values(key, kind="stable", ignore_index=True)[list(schema.columns)]
    gap = schema.gap(ordered)
    if gap:
        raise ValueError(f"{path}: {gap}")
    return ordered
