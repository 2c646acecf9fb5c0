import hashlib
import json
import os
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from refuseu.core.errors import UserError
from refuseu.maintenance.mend import mend
from refuseu.store import rows as store
from refuseu.store.lines import read
from refuseu.store.rows import Store, default_path, row_key


class Worker:
    """Upper-cases keys, the last one first, and remembers what it was asked for."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.asked: list[list[int]] = []

    def __call__(self, missing: list[int]) -> Iterable[tuple[int, str]]:
        self.asked.append(missing)
        return [(position, self.keys[position].upper()) for position in reversed(missing)]


def test_row_key_is_the_hash_of_canonical_json() -> None:
    assert row_key(b="ā", a=1) == hashlib.sha256('{"a": 1, "b": "ā"}'.encode()).hexdigest()
    assert row_key(b="ā", a=1) == row_key(a=1, b="ā")
    assert len({row_key(a=1), row_key(a="1"), row_key(b=1), row_key(a=1, b=1)}) == 4


def test_values_come_in_the_order_of_keys_and_each_key_is_worked_on_once(tmp_path: Path) -> None:
    keys = ["b", "a", "b", "c", "a"]
    worker = Worker(keys)
    assert Store(tmp_path / "rows.sqlite").complete(keys, worker) == ["B", "A", "B", "C", "A"]
    assert worker.asked == [[0, 1, 3]]


def test_another_store_on_the_file_is_asked_for_new_rows_only(tmp_path: Path) -> None:
    Store(tmp_path / "rows.sqlite").complete(["a", "b"], Worker(["a", "b"]))
    worker = Worker(["b", "c", "a"])
    assert Store(tmp_path / "rows.sqlite").complete(["b", "c", "a"], worker) == ["B", "C", "A"]
    assert worker.asked == [[1]]


def test_a_full_store_and_no_keys_call_for_no_work(tmp_path: Path) -> None:
    rows, worker = Store(tmp_path / "rows.sqlite"), Worker([])
    assert rows.complete([], worker) == []
    rows.complete(["a"], Worker(["a"]))
    assert rows.complete(["a", "a"], worker) == ["A", "A"]
    assert worker.asked == []


def test_rows_committed_before_a_crash_stay(tmp_path: Path) -> None:
    def crash(missing: list[int]) -> Iterator[tuple[int, str]]:
        yield 0, "A"
        yield 1, "B"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path / "rows.sqlite").complete(["a", "b", "c"], crash)
    worker = Worker(["a", "b", "c"])
    assert Store(tmp_path / "rows.sqlite").complete(["a", "b", "c"], worker) == ["A", "B", "C"]
    assert worker.asked == [[2]]


def test_more_keys_than_a_statement_has_variables(tmp_path: Path) -> None:
    keys = [f"key-{number}" for number in range(40_000)]
    rows = Store(tmp_path / "rows.sqlite")
    rows.complete(keys[::2], Worker(keys[::2]))
    worker = Worker(keys)
    assert rows.complete(keys, worker) == [key.upper() for key in keys]
    assert worker.asked == [list(range(1, 40_000, 2))]


def test_keys_of_any_text_are_told_apart(tmp_path: Path) -> None:
    keys = ["", "a", "A", "1", "1.0", "null", '"', "'; --", "ā", "a\u0304", "\\u0061", "a\nb"]
    rows = Store(tmp_path / "rows.sqlite")
    values = [f"value of {key}" for key in keys]
    assert rows.complete(keys, lambda missing: enumerate(values)) == values
    assert rows.complete(keys[::-1], Worker([])) == values[::-1]


def test_a_store_waits_a_minute_for_another_process(tmp_path: Path) -> None:
    connection = Store(tmp_path / "rows.sqlite")._connection
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (60_000,)


def test_a_row_the_work_leaves_out_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="a"):
        Store(tmp_path / "rows.sqlite").complete(["a"], lambda _: [])


def test_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFUSEU_STORE", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert default_path() == Path(".cache/refuseu/rows.sqlite")
    monkeypatch.setenv("DVC_ROOT", "/repo")
    assert default_path() == Path("/repo/.cache/refuseu/rows.sqlite")
    monkeypatch.setenv("REFUSEU_STORE", "/elsewhere/rows")
    assert default_path() == Path("/elsewhere/rows")
    # An experiment runs in a copy of the workspace, which is removed.
    monkeypatch.setenv("REFUSEU_STORE", "here/rows")
    assert default_path() == Path("/repo/here/rows")


@pytest.mark.parametrize("name", [".", ".cache", ".cache/refuseu", ".cache/refuseu/", "there"])
@pytest.mark.parametrize("made", [False, True])
def test_a_store_is_not_made_where_a_folder_is_wanted(
    made: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainings keep their checkpoints in ``.cache/refuseu``, and fail hours later where a file has this name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("REFUSEU_STORE", name)
    (tmp_path / "there").mkdir()
    if made:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"REFUSEU_STORE: .+ is a folder's place; name a file, like .*rows\.sqlite$"):
        Store()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "deep" / "er" / "rows.sqlite"))
    assert Store().complete(["a"], Worker(["a"])) == ["A"]
    assert (tmp_path / "deep" / "er" / "rows.sqlite").is_file()


def test_rows_done_before_a_failure_are_kept(tmp_path: Path) -> None:
    def breaks(missing: list[int]) -> Iterator[tuple[int, str]]:
        yield missing[0], "done"
        raise KeyboardInterrupt

    store = Store(tmp_path / "rows.sqlite")
    with pytest.raises(KeyboardInterrupt):
        store.complete(["a", "b"], breaks)
    assert store.complete(["a"], lambda missing: iter(())) == ["done"]


def test_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for number in range(40):
            path = tmp_path / f"{number}.sqlite"
            assert [store.path for store in pool.map(Store, [path] * 4)] == [path] * 4


def test_a_store_that_another_run_holds_is_not_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refuseu.store.rows.WAIT", 0)
    path = tmp_path / "rows.sqlite"
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match=r"rows\.sqlite: cannot be used \(database is locked\); see who holds it"):
        Store(path)


def test_a_store_whose_pages_are_damaged_and_a_place_where_none_can_be(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with closing(Store(path)) as rows:
        rows.complete(["a"], Worker(["a"]))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(
        UserError, match=r"not a row store, or a damaged one \(.*malformed.*\); 'make store-mend' saves"
    ):
        Store(path).complete(["a"], Worker(["a"]))
    with pytest.raises(UserError, match=r"below: cannot be made \(.+\); name another by REFUSEU_STORE"):
        Store(path / "below")


def fill(rows: Store) -> None:
    """Let the disk be full but for a few pages."""
    pages = rows._connection.execute("PRAGMA page_count").fetchone()[0]
    free = rows._connection.execute("PRAGMA freelist_count").fetchone()[0]
    assert free > 100
    rows.note("filler", "x" * (free - 8) * 4096)
    rows._connection.execute(f"PRAGMA max_page_count = {pages}")


def large_second(missing: list[int]) -> Iterator[tuple[int, str]]:
    """The second row does not fit on a disk that is nearly full, and there is no third one to be asked for."""
    yield 0, "small"
    yield 1, "large" * 400000
    raise AssertionError("asked though nothing can be kept")


def rescued(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows.sqlite.rescued-*"))


def test_on_a_full_disk_no_finished_row_is_lost_and_no_further_one_is_asked(tmp_path: Path) -> None:
    rows = Store(tmp_path / "rows.sqlite")
    fill(rows)
    with pytest.raises(UserError) as error:
        rows.complete(["a", "b", "c"], large_second)
    assert re.fullmatch(
        r".*rows\.sqlite: cannot be used \(database or disk is full\); .* its disk has room.*; the finished row lies in "
        r".*rows\.sqlite\.rescued-\w+\.jsonl, which the next run takes in",
        error.value.message,
    )
    assert len(rescued(tmp_path)) == 1
    rows.close()
    assert Store(tmp_path / "rows.sqlite").complete(["a", "b"], Worker([])) == ["small", "large" * 400000]
    assert rescued(tmp_path) == []


def test_rows_that_still_do_not_fit_wait_and_nothing_is_asked(tmp_path: Path) -> None:
    rows = Store(tmp_path / "rows.sqlite")
    fill(rows)
    with pytest.raises(UserError, match="which the next run takes in"):
        rows.complete(["a", "b", "c"], large_second)
    rows.close()
    size = (tmp_path / "rows.sqlite").stat().st_size
    with no_file_larger_than(size), pytest.raises(UserError, match=r"cannot be (used|written)"):
        Store(tmp_path / "rows.sqlite")
    assert len(rescued(tmp_path)) == 1


def test_where_no_place_beside_the_store_can_be_written_it_is_one_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rows = Store(folder / "rows.sqlite")
        fill(rows)
        (tmp_path / "temporary").chmod(0o777)
        # One folder more where several workers test.
        for each in (tmp_path, *(each for each in tmp_path.parents if each.name.startswith(("pytest-", "popen-")))):
            each.chmod(0o755)
        folder.chmod(0o555)
        with as_nobody(), pytest.raises(UserError, match=r"and 'make store-import FILE=\S+\.jsonl' takes it in"):
            rows.complete(["a", "b", "c"], large_second)
        folder.chmod(0o755)
    (file,) = (tmp_path / "temporary").iterdir()
    assert [row and row.value for row in read(file)] == ["large" * 400000]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_known_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    Store(path).complete(["a"], lambda _: [(0, "x" * 3 * 2**20)])
    with (
        no_file_larger_than(path.stat().st_size),
        pytest.raises(UserError, match=r"rows\.sqlite: cannot be used \(.*(full|disk I/O error)"),
    ):
        Store(path)
    assert Store(path).complete(["a"], Worker([])) == ["x" * 3 * 2**20]


def test_a_store_that_was_opened_often_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    Store(path)
    before = path.stat().st_size
    for _ in range(3):
        Store(path)
    assert path.stat().st_size == before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write every file, so tests that run as root become another user."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(("folder", "file"), [(0o777, 0o444), (0o555, 0o666)])
def test_a_store_that_is_read_only_is_known_when_it_is_opened(folder: int, file: int) -> None:
    with TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
        path = Path(name) / "rows.sqlite"
        Store(path).complete(["a"], Worker(["a"]))
        path.chmod(file)
        path.parent.chmod(folder)
        with as_nobody(), pytest.raises(UserError, match=r"rows\.sqlite: cannot be used \(.+\); .* may be written"):
            Store(path)
        path.parent.chmod(0o755)


def test_a_store_that_may_not_be_written(tmp_path: Path) -> None:
    rows = Store(tmp_path / "rows.sqlite")
    rows._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(UserError, match=r"cannot be used \(attempt to write a readonly database\); .* may be written"):
        rows.complete(["a"], Worker(["a"]))


def test_a_lock_that_comes_in_the_middle_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WAIT", 0)
    path = tmp_path / "rows.sqlite"
    rows, holder = Store(path), sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match=r"cannot be used \(database is locked\).* the finished row lies in .*rescued-"):
        rows.complete(["a", "b"], Worker(["a", "b"]))
    holder.close()
    worker = Worker(["a", "b"])
    assert Store(path).complete(["a", "b"], worker) == ["A", "B"]
    assert worker.asked == [[0]], "the row that was finished while the store was locked is there"


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE rows (key TEXT PRIMARY KEY, text TEXT)"],
        ["CREATE TABLE other (key TEXT)", "CREATE VIEW rows AS SELECT key FROM other"],
        ["CREATE TABLE other (key TEXT)"],
    ],
)
def test_a_database_of_something_else_is_no_store(statements: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with sqlite3.connect(path) as other:
        for statement in statements:
            other.execute(statement)
    with pytest.raises(UserError, match=r"rows\.sqlite: not a row store, or a damaged one \(.+\); 'make store-mend'"):
        Store(path).complete(["a"], Worker(["a"]))


@pytest.mark.parametrize("kind", [sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.Error])
def test_no_fault_of_sqlite_is_a_traceback(kind: type[sqlite3.Error], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rows: not a row store"), store.faults(tmp_path / "rows"):
        raise kind("what it says")


def test_each_row_is_committed_before_the_next_one_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    seen = []

    def work(missing: list[int]) -> Iterator[tuple[int, str]]:
        for position in missing:
            with closing(sqlite3.connect(path)) as other:
                seen.append(other.execute("SELECT count(*) FROM rows").fetchone()[0])
            yield position, "value"

    Store(path).complete(list("abcd"), work)
    assert seen == [0, 1, 2, 3]


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"no database " * 100)
    with pytest.raises(UserError, match=r"rows\.sqlite: not a row store, or a damaged one .* store-mend"):
        Store(path)
    assert path.read_bytes() == b"no database " * 100


def test_a_note_stays_may_change_and_is_no_row(tmp_path: Path) -> None:
    rows = Store(tmp_path / "rows.sqlite")
    assert rows.noted("a") is None
    rows.note("a", "ā")
    rows.note("b", "other")
    assert (rows.noted("a"), Store(tmp_path / "rows.sqlite").noted("a")) == ("ā", "ā")
    rows.note("a", "later")
    assert (rows.noted("a"), rows.noted("b")) == ("later", "other")
    worker = Worker(["a"])
    assert rows.complete(["a"], worker) == ["A"]
    assert rows.noted("a") == "later"


def test_a_file_from_before_there_were_notes_keeps_its_rows(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "rows.sqlite") as connection:
        connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("INSERT INTO rows VALUES ('a', 'kept')")
    rows, worker = Store(tmp_path / "rows.sqlite"), Worker(["a", "b"])
    assert rows.complete(["a", "b"], worker) == ["kept", "B"]
    assert worker.asked == [[1]]
    rows.note("a", "noted")
    assert rows.noted("a") == "noted"


def old_store(path: Path, rows: dict[str, str]) -> None:
    """As versions of the project wrote it that knew no checksums."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", rows.items())


def test_a_store_of_before_checksums_loses_no_row_and_its_rows_get_them_when_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    old_store(path, {str(number): f"value {number}" for number in range(1000)})
    with closing(Store(path)) as rows:
        keys = [str(number) for number in range(1000)]
        assert rows.complete(keys, Worker([]), "org/name@1") == [f"value {key}" for key in keys]
        assert {origin[2] for origin in rows.origins()} == {"org/name@1"}
        rows._connection.execute("UPDATE rows SET value = 'another' WHERE key = '7'")
        rows._connection.commit()
        worker = Worker(["7"])
        assert rows.complete(["7"], worker) == ["7"] and worker.asked == [[0]]


def test_a_version_without_checksums_goes_on_with_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with closing(Store(path)) as rows:
        rows.complete(["a"], Worker(["a"]))
        with closing(sqlite3.connect(path)) as old, old:
            assert old.execute("SELECT key, value FROM rows").fetchall() == [("a", "A")]
            old.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", ("b", "of before"))
        assert rows.complete(["a", "b"], Worker([])) == ["A", "of before"]


def test_a_row_that_is_no_text_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.sqlite"
    with closing(Store(path)) as rows:
        rows.complete(["a", "b"], Worker(["a", "b"]))
        rows._connection.execute("UPDATE rows SET value = CAST(x'ff' AS TEXT) WHERE key = 'a'")
        rows._connection.commit()
        worker = Worker(["a", "b"])
        assert rows.complete(["a", "b"], worker) == ["A", "B"] and worker.asked == [[0]]
        assert "rows.sqlite: 1 rows do not fit their checksums and are asked again" in capsys.readouterr().err
        assert rows.complete(["a", "b"], Worker([])) == ["A", "B"]


FLIPS = 300


@pytest.mark.slow
def test_of_300_flipped_bits_none_is_trusted_and_none_is_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a fresh copy: all values are right, or one sentence names the way out, after which they are right."""
    monkeypatch.setattr(store, "RESERVE", 4096)
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(120)]
    values = [json.dumps(["ā word " * (number % 40 + 1) * (number % 7), "stop", []]) for number in range(120)]
    whole = tmp_path / "whole.sqlite"
    with closing(Store(whole)) as rows:
        rows.complete(keys, lambda missing: ((place, values[place]) for place in missing), "org/name@1")
        rows._connection.execute("VACUUM")  # no free pages, in which a flipped bit harms nobody
    content, drawn = whole.read_bytes(), random.Random(0)
    asked = sentences = 0

    def work(missing: list[int]) -> Iterator[tuple[int, str]]:
        nonlocal asked
        asked += len(missing)
        yield from ((place, values[place]) for place in missing)

    for number in range(FLIPS):
        path = tmp_path / str(number) / "rows.sqlite"
        path.parent.mkdir()
        bit = drawn.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            with closing(Store(path)) as rows:
                found = rows.complete(keys, work, "org/name@1")
        except UserError as error:
            assert "'make store-mend' saves all rows that are whole" in error.message
            sentences += 1
            mend(path)
            with closing(Store(path)) as rows:
                found = rows.complete(keys, work, "org/name@1")
        assert found == values, f"bit {bit}"
        shutil.rmtree(path.parent)
    assert sentences < FLIPS // 20, "nearly all are met without a word by people"
    assert asked <= FLIPS, "a bit costs one row at most"


ASKS = """
import sys
from pathlib import Path
from refuseu.store.rows import Store

first, last = map(int, sys.argv[2:])
keys = [str(number) for number in range(first, last)]
store = Store(Path(sys.argv[1]))
assert store.complete(keys, lambda missing: ((place, keys[place] * 200) for place in missing)) == [key * 200 for key in keys]
"""


@pytest.mark.slow
def test_processes_write_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    running = [
        subprocess.Popen([sys.executable, "-c", ASKS, str(path), str(first), str(first + 400)], stderr=subprocess.PIPE)
        for first in (0, 200, 400)
    ]
    assert [process.communicate()[1] for process in running] == [b"", b"", b""]
    keys = [str(number) for number in range(800)]
    assert Store(path).complete(keys, Worker([])) == [key * 200 for key in keys]
