"""The row store. It keeps what an expensive step made of a row under the hash of everything that decides the result.

It is one SQLite file outside all DVC outputs (``REFUSEU_STORE``, by default ``.cache/refuseu/rows.sqlite`` below
``$DVC_ROOT``). A stage that was killed continues where it was, and a row that changed costs one row. What the store does not
hold is looked up in what the last run of the stage used. The outputs do not depend on what the store holds.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from refuseu.core.errors import UserError
from refuseu.core.files import kept_folder
from refuseu.store.last_run import rows_of_last_run

Work = Callable[[list[int]], Iterable[tuple[int, str]]]
"""A function that is given the positions of the missing rows and yields (position, value) whenever a row is done."""

ROWS_A_COMMIT = 256
ROWS_READ = 65536
"""Rows that are read at once where all that were used are wanted."""
RESERVE = 2**20
"""Bytes that are written when a store is opened, so that a full disk is known then. They stay free for rows to come."""
WAIT = 60
"""Seconds for which a process waits until another one has written."""
OUTER = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""SQLite's errors that come from outside the file. Every other error means that its contents are damaged."""


def row_key(**decides: Any) -> str:
    """SHA-256 of the canonical JSON of ``decides``, which must be everything that decides a row, and nothing else."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def default_path() -> Path:
    """``$REFUSEU_STORE``, or ``.cache/refuseu/rows.sqlite``, below the main repository's root.

    Raises:
        UserError: when it names a folder, or a place where the project wants a folder, for other things that it keeps.
    """
    named = os.environ.get("REFUSEU_STORE")
    path = Path(os.environ.get("DVC_ROOT", "."), named) if named else kept_folder() / "rows.sqlite"
    if path.is_dir() or kept_folder().absolute().is_relative_to(path.absolute()):
        raise UserError(f"REFUSEU_STORE: {path} is a folder's place; name a file, like {path / 'rows.sqlite'}")
    return path


class Store:
    """Text values by key. Several processes may use it: SQLite locks the file, and a key always gets the same value."""

    def __init__(self, path: Path | None = None) -> None:
        """
        Raises:
            UserError: when the file cannot be written or its disk is full, so that nothing is asked in vain.
        """
        self.path = path or default_path()
        self._used: list[pa.Array] = []
        with _faults(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level="IMMEDIATE")
            # The write lock is taken first: two processes that both only read so far would refuse each other at once.
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._connection.execute("CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES ('reserve', zeroblob(?))", (RESERVE,))
            self._connection.commit()
        with _faults(self.path), self._connection:
            self._connection.execute("DELETE FROM notes WHERE key = 'reserve'")

    def noted(self, key: str) -> str | None:
        """The value that ``note`` kept last for the key, or ``None``."""
        with _faults(self.path):
            found = self._connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def note(self, key: str, value: str) -> None:
        """Keep a value that may change, unlike the value of a row."""
        with _faults(self.path), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

    def complete(self, keys: Sequence[str], work: Work) -> list[str]:
        """The value of every key, in order. ``work`` is asked for the missing ones, once for each distinct key.

        Missing are those that neither the store holds nor the last run of the stage used.
        """
        known = self._get(keys)
        if absent := set(keys) - known.keys():
            for rows in rows_of_last_run(self.path, absent):
                self._put(rows)
                known |= rows
        missing = {key: position for position, key in reversed(list(enumerate(keys))) if key not in known}
        done: list[tuple[str, str]] = []
        try:
            for position, value in work(sorted(missing.values())) if missing else ():
                known[keys[position]] = value
                done.append((keys[position], value))
                if len(done) == ROWS_A_COMMIT:
                    self._put(done)
                    done = []
        finally:
            self._keep(done)  # also when the work breaks off
        self._used.append(pa.array(known, pa.large_string()))
        return [known[key] for key in keys]

    def used_keys(self) -> pa.Array:
        """The keys of all rows that were asked for, those of ``use`` among them; sorted, each once."""
        distinct = pc.unique(pa.chunked_array(self._used, pa.large_string()))
        return distinct.take(pc.array_sort_indices(distinct))

    def use(self, keys: pa.Array) -> None:
        """Count rows as used that another process asked the same store for; ``keys`` are its ``used_keys``."""
        self._used.append(keys)

    def used_rows(self) -> Iterator[pd.DataFrame]:
        """All rows that were asked for, as rows of ``last_run.ROW``, some at a time."""
        keys = self.used_keys()
        for start in range(0, len(keys), ROWS_READ):
            rows = self._get(keys[start : start + ROWS_READ].to_pylist())
            yield pd.DataFrame({"key": [bytes.fromhex(key) for key in rows], "value": list(rows.values())})

    def _get(self, keys: Sequence[str]) -> dict[str, str]:
        # One statement for all keys: SQLite walks the index in its own order, and each page is read once.
        query = "SELECT key, value FROM rows WHERE key IN (SELECT value FROM json_each(?))"
        with _faults(self.path):
            return dict(self._connection.execute(query, (json.dumps(list(keys)),)))

    def _put(self, rows: list[tuple[str, str]]) -> None:
        with _faults(self.path), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)

    def _keep(self, finished: list[tuple[str, str]]) -> None:
        """Write rows that cost something to the last one that can be written: where not all fit, the shortest do."""
        try:
            self._put(finished)
        except UserError:
            for row in sorted(finished, key=lambda row: len(row[1])):
                self._put([row])


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn every error of the file, or of the place where it lies, into one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the kind of the error. Errors that Python finds, such as a text that is not UTF-8, have no number.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in OUTER:
            way_out = (
                "see who holds it, whether it may be written and its disk has room, or name another by REFUSEU_STORE"
            )
            raise UserError(f"{path}: cannot be used ({error}); {way_out}") from None
        raise UserError(f"{path}: not a row store ({error}); delete it, its rows are computed anew") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); name another by REFUSEU_STORE") from None
