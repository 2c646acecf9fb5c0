import hashlib
import os
import resource
import sqlite3
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from refuseu.core.errors import UserError
from refuseu.store import rows as store
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


def test_rows_committed_before_a_crash_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_A_COMMIT", 2)

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
    Store(path).complete(["a"], Worker(["a"]))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(UserError, match=r"rows\.sqlite: not a row store \(.*malformed.*\); delete it"):
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


def test_a_full_disk_is_said_and_what_was_done_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_A_COMMIT", 1)
    rows = Store(tmp_path / "rows.sqlite")
    fill(rows)

    def work(missing: list[int]) -> Iterator[tuple[int, str]]:
        yield 0, "small"
        yield 1, "large" * 100000

    with pytest.raises(
        UserError, match=r"rows\.sqlite: cannot be used \(database or disk is full\); .* its disk has room"
    ):
        rows.complete(["a", "b"], work)
    assert Store(tmp_path / "rows.sqlite").complete(["a"], Worker(["a"])) == ["small"]


def test_of_rows_that_do_not_all_fit_the_shorter_are_kept(tmp_path: Path) -> None:
    rows = Store(tmp_path / "rows.sqlite")
    fill(rows)

    def work(missing: list[int]) -> Iterator[tuple[int, str]]:
        yield 0, "large" * 100000
        yield 1, "small"
        yield 2, "smaller"
        raise KeyboardInterrupt

    with pytest.raises(UserError, match="disk is full"):
        rows.complete(["a", "b", "c"], work)
    assert Store(tmp_path / "rows.sqlite").complete(["b", "c"], Worker([])) == ["small", "smaller"]


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
    with pytest.raises(UserError, match=r"cannot be used \(database is locked\)"):
        rows.complete(["a"], Worker(["a"]))


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE rows (key TEXT PRIMARY KEY, text TEXT)"],
        ["CREATE TABLE other (key TEXT)", "CREATE VIEW rows AS SELECT key FROM other"],
        [
            "CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
            "INSERT INTO rows VALUES ('a', CAST(x'ff' AS TEXT))",
        ],
    ],
)
def test_a_database_of_something_else_is_no_store(statements: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with sqlite3.connect(path) as other:
        for statement in statements:
            other.execute(statement)
    with pytest.raises(UserError, match=r"rows\.sqlite: not a row store \(.+\); delete it, its rows are computed anew"):
        Store(path).complete(["a"], Worker(["a"]))


@pytest.mark.parametrize("kind", [sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.Error])
def test_no_fault_of_sqlite_is_a_traceback(kind: type[sqlite3.Error], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rows: not a row store"), store._faults(tmp_path / "rows"):
        raise kind("what it says")


def test_a_commit_holds_256_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    seen = []

    def work(missing: list[int]) -> Iterator[tuple[int, str]]:
        for position in missing:
            seen.append(sqlite3.connect(path).execute("SELECT count(*) FROM rows").fetchone()[0])
            yield position, "value"

    Store(path).complete([str(number) for number in range(258)], work)
    assert (seen[255], seen[256], seen[257]) == (0, 256, 256)


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    path.write_bytes(b"no database " * 100)
    with pytest.raises(UserError, match=r"rows\.sqlite: not a row store .* delete it"):
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
