"""Tables as parquet, sorted by their keys.

Nothing in a table depends on the clock, the host, the path or the order of work, so the same rows are the same bytes (under
the locked pyarrow).
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.files.writing import atomic
from refuseu.records.schema import Schema


def write_table(rows: pd.DataFrame, path: Path, schema: Schema) -> None:
    """Write ``rows`` as parquet, sorted by the key of ``schema``, with exactly its columns.

    Raises:
        ValueError: when two rows share a key or a row lacks a value.
        KeyError: when a column is missing.
    """
    key = list(schema.key)
    if rows.duplicated(key).any():
        raise ValueError(f"{path}: two rows share the key {key}")
    ordered = rows.sort_values(key, kind="stable")[list(schema.columns)]
    gap = schema.gap(ordered)
    if gap:
        raise ValueError(f"{path}: {gap}")
    table = pa.Table.from_pandas(ordered, schema=pa.schema(schema.columns), preserve_index=False)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")
