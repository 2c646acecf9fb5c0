import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.maintenance.mend import mend
from refuseu.maintenance.pages import SIZE
from refuseu.store.rows import Store

ROWS = {
    sha256(str(number).encode()).hexdigest(): json.dumps(["ā word " * number**2, "stop", []]) for number in range(120)
}
"""Values from a few bytes to 25 pages."""
COMMIT = "5" * 40


def filled(path: Path) -> None:
    keys = list(ROWS)
    with closing(Store(path)) as store:
        store.complete(keys, lambda missing: ((place, ROWS[keys[place]]) for place in missing), "org/name@1")
        store.note("a" * 64, COMMIT)


def kept(path: Path) -> dict[str, str]:
    with closing(Store(path)) as store:
        return {row.key: row.value for row in store.rows()}


def spoil(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def test_a_whole_store_stays_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "rows.sqlite")
    before = (tmp_path / "rows.sqlite").read_bytes()
    assert mend(tmp_path / "rows.sqlite") == f"{tmp_path / 'rows.sqlite'}: whole, 120 rows"
    assert (tmp_path / "rows.sqlite").read_bytes() == before
    assert kept(tmp_path / "rows.sqlite") == ROWS


def test_without_the_first_page_every_row_is_saved(tmp_path: Path) -> None:
    """The first page holds what SQLite knows of the file; without it, SQLite reads nothing."""
    path = tmp_path / "rows.sqlite"
    filled(path)
    spoil(path, 0, b"\0" * SIZE)
    damaged = path.read_bytes()
    with pytest.raises(UserError, match="make store-mend"):
        Store(path)
    said = mend(path)
    aside = tmp_path / "rows.sqlite.damaged-1"
    assert said == (
        f"{path}: was damaged; 120 rows are whole and kept, all others are asked again; the damaged file is {aside}"
    )
    assert kept(path) == ROWS
    assert aside.read_bytes() == damaged
    with closing(Store(path)) as store:
        assert store.noted("a" * 64) == COMMIT
        assert {origin[2] for origin in store.origins()} == {"org/name@1"}
    assert mend(path) == f"{path}: whole, 120 rows"


def test_of_a_store_of_which_pages_are_gone_the_other_rows_are_saved_and_none_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    filled(path)
    for page in range(10, 60):
        spoil(path, page * SIZE, b"\x55" * SIZE)
    mend(path)
    found = kept(path)
    assert found.items() <= ROWS.items()
    assert 60 < len(found) < 120


def test_a_file_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    filled(path)
    os.truncate(path, path.stat().st_size // 2 - 100)
    mend(path)
    found = kept(path)
    assert found.items() <= ROWS.items() and found


def test_what_is_no_store_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"no database " * 1000)
    assert ": was damaged; 0 rows are whole" in mend(path)
    assert (tmp_path / "rows.sqlite.damaged-1").read_bytes() == b"no database " * 1000


def test_a_store_of_before_checksums(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", ROWS.items())
    assert mend(path) == f"{path}: whole, 120 rows"
    spoil(path, 0, b"\0" * 50)
    assert ": was damaged; 120 rows are whole" in mend(path)
    assert kept(path) == ROWS


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_mend import ROWS
from refuseu.store.rows import Store
keys = list(ROWS)
Store(Path(sys.argv[1])).complete(keys, lambda missing: ((place, ROWS[keys[place]]) for place in missing))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_rows_that_a_killed_process_left_in_the_log_are_saved_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    here = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), here], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.with_name("rows.sqlite-wal").stat().st_size > 50 * SIZE
    path.write_bytes(b"\0" * path.stat().st_size)
    mend(path)
    assert kept(path) == ROWS


def test_a_store_that_another_process_writes_into_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with pytest.raises(UserError, match=r"rows\.sqlite: no such file"):
        mend(path)
    filled(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"cannot be used \(database is locked\); see who holds it"):
            mend(path)
