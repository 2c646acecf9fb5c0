"""What a stage writes: its tables as parquet files, sorted by their keys, and the account of its rows.

Nothing in a table depends on the clock, the host, the path or the order of work. The same rows are therefore the same bytes
(with the locked version of pyarrow).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.files import atomic
from refuseu.core.schema import Schema


def write_table(rows: pd.DataFrame, path: Path, schema: Schema) -> None:
    """Write ``rows`` as parquet, sorted by the key of ``schema``, with exactly the columns of ``schema``.

    Raises:
        ValueError: when two rows share a key, or a row lacks a value or has one that is not listed.
        KeyError: when a column is missing.
    """
    write_batches([rows], path, schema)


def write_batches(batches: Iterable[pd.DataFrame], path: Path, schema: Schema) -> None:
    """Write one table a batch of rows at a time; all keys of a batch must be greater than those of the batch before.

    Raises:
        ValueError: when two rows share a key, a row lacks a value or has one that is not listed, or the batches are in another
            order.
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
    if fault := schema.fault(ordered):
        raise ValueError(f"{path}: {fault}")
    return ordered


def account(rows_in: int, kept: pd.DataFrame, rejected: pd.DataFrame, languages: list[str]) -> dict[str, Any]:
    """Account for the rows of a stage: every row that came in was kept, or was rejected for a reason.

    Returns:
        ``rows_in``, ``rows_out`` and ``rejected`` (rows by reason), and the rows that were kept and rejected by language.

    Raises:
        ValueError: when the rows kept and rejected are not as many as came in.
    """
    if rows_in != len(kept) + len(rejected):
        raise ValueError(f"{rows_in} rows in, {len(kept)} kept and {len(rejected)} rejected")
    reasons = rejected["reason"].value_counts().sort_index()
    return {
        "rows_in": rows_in,
        "rows_out": len(kept),
        "rejected": {str(reason): int(count) for reason, count in reasons.items()},
        "rows_out_by_language": {lang: int((kept["lang"] == lang).sum()) for lang in languages},
        "rejected_by_language": {lang: int((rejected["lang"] == lang).sum()) for lang in languages},
    }
