"""The rows that travel: each stage that asks models writes the rows of the store that it used beside its tables.

So DVC's cache and remote hold them, and a clone that has pulled the outputs asks nothing again. When a stage runs, DVC has
already removed what its last run wrote; ``dvc.lock`` still names it, and DVC's cache still holds it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads

from refuseu.core.locked import LOCK, locked_hash
from refuseu.core.schema import Schema
from refuseu.core.terminal import say

ROWS = "rows.parquet"
"""The table's name in the stage's folder, ``data/<stage>``."""
ROW = Schema({"key": pa.binary(32), "value": pa.string()}, key=("key",))
FORGOTTEN = "forgotten.lock"
"""Beside the store: the ``dvc.lock`` of which the rows are not read, since ``make clean-rows`` was typed to have them anew."""
PATIENCE = 60
"""Seconds that DVC may take to tell where its cache is."""


def rows_of_last_run(store: Path, keys: Collection[str]) -> Iterator[list[tuple[str, str]]]:
    """Those rows of ``keys`` that the last run of this stage used, some at a time; none where it is not known or not here.

    ``store`` is the file of the row store. The table is read as a stream, so that it may be larger than the memory.
    """
    path = _table(os.environ.get("DVC_STAGE"), Path.cwd(), store.with_name(FORGOTTEN))
    if path is None:
        return
    wanted = pads.field("key").isin(pa.array(map(bytes.fromhex, keys), ROW.columns["key"]))
    try:
        for batch in pads.dataset(path).to_batches(columns=list(ROW.columns), filter=wanted):
            found, values = (column.to_pylist() for column in batch.columns)
            yield list(zip(map(bytes.hex, found), values, strict=True))
    except (pa.ArrowException, OSError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        say(f"Note: {path}: the rows of the last run cannot be read ({reason}); they are asked anew", err=True)


@cache
def _table(stage: str | None, root: Path, forgotten: Path) -> Path | None:
    """The file in DVC's cache with the rows that the last run of ``stage`` used, according to the ``dvc.lock`` in ``root``."""
    folder = f"data/{stage}"
    named = locked_hash(folder, root / LOCK) if stage else None
    if named is None or named == locked_hash(folder, forgotten):
        return None
    with suppress(OSError, ValueError, LookupError, TypeError, subprocess.TimeoutExpired):
        found = (listed(cache_folder(root) / "files/md5", named) or {}).get(ROWS)
        return found if found and found.is_file() else None
    return None


def listed(objects: Path, named: str) -> dict[str, Path] | None:
    """Where DVC's cache keeps the files of a folder, by their names; ``None`` where the cache lacks the folder's list."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        entries = json.loads(_object(objects, named).read_text(encoding="utf-8"))
        return {str(entry["relpath"]): _object(objects, entry["md5"]) for entry in entries}
    return None


def _object(objects: Path, md5: str) -> Path:
    return objects / md5[:2] / md5[2:]


def cache_folder(root: Path) -> Path:
    """Where DVC's cache is: in an experiment's copy of the workspace, that of the repository."""
    asked = [sys.executable, "-m", "dvc", "cache", "dir"]
    told = subprocess.run(asked, cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return root / told.stdout.strip()
