"""The row store. It keeps what an expensive step made of a row under the hash of everything that decides the result.

It is one SQLite file outside all DVC outputs (``REFUSEU_STORE``, by default ``.cache/refuseu/rows.sqlite`` below
``$DVC_ROOT``). A stage that was killed continues where it was, and a row that changed costs one row. What the store does not
hold is looked up in what the last run of the stage used. The outputs do not depend on what the store holds.

Every row is committed when it is done, so that whatever ends the process costs no finished row. A row has a checksum, in the
table ``seals``, and one that does not fit it is made again. A row of before there were checksums gets its own when it is used.
"""

import glob
import hashlib
import json
import os
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from refuseu.core.errors import UnwritableError, UserError
from refuseu.core.files import atomic, kept_folder, writing
from refuseu.core.terminal import say
from refuseu.store.last_run import rows_of_last_run
from refuseu.store.lines import Row, checksum, read, written

Work = Callable[[list[int]], Iterable[tuple[int, str]]]
"""A function that is given the positions of the missing rows and yields (position, value) whenever a row is done."""

ROWS_READ = 65536
"""Rows that are read at once where all that were used are wanted."""
RESERVE = 2**20
"""Bytes that are written when a store is opened, into it and into a file beside it, so that a full disk is known then. The file
gives way to the rows that a store could not keep."""
RESCUED = ".rescued-{}.jsonl"
"""What the name of the store is followed by in the name of a file of rows that it could not keep."""
PAGES_AHEAD = 4000
"""Pages of 4 KiB that are written ahead, into a file beside the store, before SQLite writes them into the store itself."""
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # A table of its own: versions of the project that know nothing of it go on reading and writing the same file.
    "CREATE TABLE IF NOT EXISTS seals (key TEXT PRIMARY KEY, sum BLOB NOT NULL, model TEXT NOT NULL, stage TEXT NOT NULL, "
    "day INTEGER NOT NULL) WITHOUT ROWID",
)
# One statement for all keys: SQLite walks the index in its own order, and each page is read once. A value is taken as bytes,
# since one that is damaged may be no text.
FIND = """
SELECT rows.rowid, rows.key, CAST(rows.value AS BLOB), seals.sum FROM rows LEFT JOIN seals ON seals.key = rows.key
WHERE rows.key IN (SELECT value FROM json_each(?))
"""
ORIGINS = """
SELECT rows.key, length(CAST(rows.value AS BLOB)), ifnull(model, ''), ifnull(stage, ''), ifnull(day, 0)
FROM rows LEFT JOIN seals ON seals.key = rows.key
"""
ALL = """
SELECT rows.key, CAST(rows.value AS BLOB), seals.sum, ifnull(model, ''), ifnull(stage, ''), ifnull(day, 0)
FROM rows LEFT JOIN seals ON seals.key = rows.key ORDER BY rows.key
"""
A_DAY = 24 * 60 * 60
"""Seconds."""
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
        self._stage = os.environ.get("DVC_STAGE") or Path(sys.argv[0]).stem
        with faults(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level="IMMEDIATE")
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with faults(self.path):
            with suppress(sqlite3.OperationalError):  # another process opens it too, and sets the same
                self._connection.execute("PRAGMA journal_mode = WAL")
            # A commit is handed to the system, which writes it to the disk whatever becomes of this process.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES_AHEAD}")
            # The write lock is taken first: two processes that both only read so far would refuse each other at once.
            self._connection.execute("BEGIN IMMEDIATE")
            tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            if tables and ("rows",) not in tables:
                raise sqlite3.DatabaseError("it has no table of rows")
            for statement in SCHEMA:
                self._connection.execute(statement)
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES ('reserve', zeroblob(?))", (RESERVE,))
            self._connection.commit()
        with faults(self.path), self._connection:
            self._connection.execute("DELETE FROM notes WHERE key = 'reserve'")
        if self.path.exists():  # a store in memory has nothing beside it
            self._take_in_rescued()
            self._hold_reserve()

    def close(self) -> None:
        """Let go of the file; SQLite then puts all rows into this one file. The end of the process does it too."""
        self._connection.close()

    def noted(self, key: str) -> str | None:
        """The value that ``note`` kept last for the key, or ``None``."""
        with faults(self.path):
            found = self._connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def note(self, key: str, value: str) -> None:
        """Keep a value that may change, unlike the value of a row."""
        with faults(self.path), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

    def complete(self, keys: Sequence[str], work: Work, model: str = "") -> list[str]:
        """The value of every key, in order. ``work`` is asked for the missing ones, once for each distinct key.

        Missing are those that neither the store holds nor the last run of the stage used. ``model`` is the identity of the
        model that makes the values, for the counts of ``make store-stat`` alone.

        Raises:
            UserError: when a row cannot be kept. No further one is asked for then, and the row lies in a file that the next
                store on the same path takes in.
        """
        known = self._get(keys, model)
        if absent := set(keys) - known.keys():
            for rows in rows_of_last_run(self.path, absent):
                self.add(self._made(*row, model) for row in rows)
                known |= rows
        missing = {key: position for position, key in reversed(list(enumerate(keys))) if key not in known}
        for position, value in work(sorted(missing.values())) if missing else ():
            self._keep(self._made(keys[position], value, model))
            known[keys[position]] = value
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

    def add(self, rows: Iterable[Row]) -> int:
        """Keep rows in one commit, and return how many are new; a row that is here already stays as it is.

        A row without a day is counted as of today.
        """
        new = 0
        with faults(self.path), self._connection:
            for row in rows:
                new += self._connection.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", row[:2]).rowcount
                seal = checksum(row.key.encode(), row.value.encode())
                origin = (row.model, row.stage, row.day or today())
                self._connection.execute("INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?, ?)", (row.key, seal, *origin))
        return new

    def origins(self) -> Iterator[tuple[str, int, str, str, int]]:
        """Key, bytes, model, stage and day of every row, without its value; a row without a checksum has an empty origin."""
        with faults(self.path):
            yield from self._connection.execute(ORIGINS)

    def rows(self) -> Iterator[Row]:
        """Every row that is whole, in the order of the keys; what is kept meanwhile may be missing."""
        with faults(self.path):
            for key, value, seal, *origin in self._connection.execute(ALL):
                text = whole(key, value, seal)
                if text is not None:
                    yield Row(key, text, *origin)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove rows, and give their room back to the disk.

        Raises:
            UserError: when there is no room for the smaller file beside the old one; the rows are removed then all the same.
        """
        gone = [(key,) for key in keys]
        with faults(self.path), self._connection:
            self._connection.executemany("DELETE FROM rows WHERE key = ?", gone)
            self._connection.executemany("DELETE FROM seals WHERE key = ?", gone)
        with faults(self.path):
            self._connection.execute("VACUUM")

    def _made(self, key: str, value: str, model: str) -> Row:
        return Row(key, value, model, self._stage, today())

    def _get(self, keys: Sequence[str], model: str = "") -> dict[str, str]:
        """The rows that are here and whole. One that does not fit its checksum is removed; one that has none gets it."""
        known: dict[str, str] = {}
        bare, damaged = [], []
        with faults(self.path):
            for rowid, key, value, seal in self._connection.execute(FIND, (json.dumps(list(keys)),)):
                text = whole(key, value, seal)
                if text is None:
                    damaged.append((rowid, key))
                    continue
                known[key] = text
                if seal is None:
                    bare.append(key)
        if bare:
            self.add(self._made(key, known[key], model) for key in bare)
        if damaged:
            with faults(self.path), self._connection:
                # By both: where the index is damaged it leads to the row of another key.
                self._connection.executemany("DELETE FROM rows WHERE rowid = ? AND +key = ?", damaged)
                self._connection.executemany("DELETE FROM seals WHERE key = ?", [(key,) for _, key in damaged])
            fault = "do not fit their checksums and are asked again ('make store-mend')"
            say(f"Note: {self.path}: {len(damaged)} rows {fault}", err=True)
        return known

    def _keep(self, row: Row) -> None:
        """Commit a row that cost something, or where that fails write it into a file.

        Raises:
            UserError: when it cannot be committed.
        """
        try:
            self.add([row])
        except UserError as error:
            raise UserError(f"{error.message}; {self._rescue(row)}") from None

    def _rescue(self, row: Row) -> str:
        """Write a row into a file beside the store, or where that is impossible into one for temporary files; say so."""
        name = f"{self.path.name}{RESCUED.format(uuid.uuid4().hex)}"
        with suppress(OSError):
            self._beside(".reserve").unlink()  # on a full disk this is the room for it
        for folder in (self.path.parent, Path(tempfile.gettempdir())):
            with suppress(UnwritableError), atomic(folder / name) as temporary:
                temporary.write_bytes(written(row))
            if (folder / name).is_file():
                beside = folder == self.path.parent
                way_out = (
                    "which the next run takes in"
                    if beside
                    else f"and 'make store-import FILE={folder / name}' takes it in"
                )
                return f"the finished row lies in {folder / name}, {way_out}"
        return "the finished row is lost, since no other place can be written either"

    def _take_in_rescued(self) -> None:
        files = sorted(self.path.parent.glob(glob.escape(self.path.name) + RESCUED.format("*")))
        for file in files:
            with faults(file), suppress(FileNotFoundError):  # another process takes it in
                self.add([row for row in read(file) if row])
                file.unlink()
        if files:
            say(f"Note: {self.path}: took in {len(files)} rows that an earlier run could not keep in it", err=True)

    def _hold_reserve(self) -> None:
        reserve = self._beside(".reserve")
        with writing(reserve):
            if not reserve.exists() or reserve.stat().st_size != RESERVE:
                reserve.write_bytes(bytes(RESERVE))

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


def today() -> int:
    """The day, counted from 1 January 1970, as rows remember it."""
    return int(time.time()) // A_DAY


def whole(key: object, value: object, seal: object) -> str | None:
    """The text of a row's value as SQLite gives its bytes, or ``None`` where it does not fit its checksum or is no text."""
    if isinstance(key, str) and isinstance(value, bytes) and seal in (None, checksum(key.encode(), value)):
        with suppress(UnicodeDecodeError):
            return value.decode()
    return None


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn every error of the file, or of the place where it lies, into one sentence."""
    try:
        yield
    # A damaged name of a table in SQLite's message may be no text.
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # The low byte is the kind of the error. Errors that Python finds, such as a text that is not UTF-8, have no number.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in OUTER:
            way_out = (
                "see who holds it, whether it may be written and its disk has room, or name another by REFUSEU_STORE"
            )
            raise UserError(f"{path}: cannot be used ({error}); {way_out}") from None
        way_out = "'make store-mend' saves all rows that are whole, or name another file by REFUSEU_STORE"
        raise UserError(f"{path}: not a row store, or a damaged one ({error}); {way_out}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); name another by REFUSEU_STORE") from None
