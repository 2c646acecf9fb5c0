"""``make store-mend``: what is whole in a damaged row store, in a new one. The damaged file is set aside, never deleted."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import click

from refuseu.core.errors import UserError
from refuseu.core.terminal import say
from refuseu.maintenance.pages import records
from refuseu.maintenance.sharing import take_in
from refuseu.store.lines import Row
from refuseu.store.rows import OUTER, SCHEMA, Store, default_path, whole

KEY = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
"""What a note holds; a row never does."""
Seals = dict[str, tuple[bytes, str, str, int]]
"""By key: checksum, model, stage and day."""


def mend(path: Path) -> str:
    """Write the rows of ``path`` that are whole into a new store in its place, and say what came of it.

    Raises:
        UserError: when there is no file, another process writes into it, or its place cannot be written.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the row store by REFUSEU_STORE")
    try:
        rows = _sound(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged name in SQLite's message may be no text
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in OUTER - {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}:
            raise UserError(f"{path}: cannot be used ({error}); see who holds it, and end that first") from None
        rows = None
    if rows is not None:
        return f"{path}: whole, {rows} rows"
    new = path.with_name(f"{path.name}.mended")
    new.unlink(missing_ok=True)
    saved = _salvage(path, new)
    aside = next(each for number in count(1) if not (each := path.with_name(f"{path.name}.damaged-{number}")).exists())
    for ending in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    new.rename(path)
    for left in path.parent.glob(f"{new.name}*"):
        left.unlink()
    return (
        f"{path}: was damaged; {saved} rows are whole and kept, all others are asked again; the damaged file is {aside}"
    )


def _sound(path: Path) -> int | None:
    """The number of rows where nothing is wrong with the file, else ``None``."""
    with closing(sqlite3.connect(path, timeout=1, isolation_level="IMMEDIATE")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            return None
        connection.execute("SELECT 1 FROM rows LIMIT 1")  # where the name of the table is damaged, this fails
        for statement in SCHEMA:
            connection.execute(statement)
        query = "SELECT rows.key, CAST(rows.value AS BLOB), seals.sum FROM rows LEFT JOIN seals ON seals.key = rows.key"
        fits = [whole(*row) is not None for row in connection.execute(query)]
        return len(fits) if all(fits) else None


def _salvage(path: Path, new: Path) -> int:
    """The number of rows that could be written into the store ``new``. Seals are read first: they tell which rows are whole."""
    seals: Seals = {}
    for record in records(path):
        match record:
            case (str(key), bytes(seal), str(model), str(stage), int(day)) if KEY.fullmatch(key):
                seals[key] = (seal, model, stage, day)
    with closing(Store(new)) as store:
        return take_in(store, _rows(path, seals, store))


def _rows(path: Path, seals: Seals, store: Store) -> Iterator[Row]:
    for record in records(path):
        match record:
            case (str(key), str(value)) if KEY.fullmatch(key) and COMMIT.fullmatch(value):
                store.note(key, value)
            case (str(key), str(value)):
                seal, model, stage, day = seals.get(key, (None, "", "", 0))
                if whole(key, value.encode(), seal) is not None and (seal or _of_before(key, value)):
                    yield Row(key, value, model, stage, day)


def _of_before(key: str, value: str) -> bool:
    """Whether a row without a checksum looks like one: a hash, and the JSON that engines write."""
    with suppress(ValueError):
        json.loads(value)
        return bool(KEY.fullmatch(key))
    return False


@click.command(help=__doc__)
def main() -> None:
    say(mend(default_path()))
