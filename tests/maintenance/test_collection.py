"""Counting and clearing the row store, with a small pipeline that DVC runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from store.test_last_run import Project

from refuseu.maintenance import collection
from refuseu.maintenance.collection import YOUNG, needed, plan
from refuseu.maintenance.counts import by_origin
from refuseu.store.rows import Store, row_key, today


def test_rows_and_bytes_by_model_stage_and_age() -> None:
    now = today()
    rows = [
        ("a", 2_000_000, "org/big@1", "label", now),
        ("b", 1_000_000, "org/big@1", "label", now - 8),
        ("c", 500_000, "gpt", "respond", now - 400),
        ("d", 100_000, "", "", 0),
    ]
    assert [line.split() for line in by_origin(rows).text().splitlines()[2:]] == [
        ["org/big@1", "label", "2", "3.0"],
        ["gpt", "respond", "1", "0.5"],
        ["–", "–", "1", "0.1"],
        ["all", "4", "3.6"],
        ["all", "up", "to", "7", "days", "1", "2.0"],
        ["all", "up", "to", "30", "days", "1", "1.0"],
        ["all", "more", "than", "365", "days", "1", "0.5"],
        ["all", "unknown", "1", "0.1"],
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Rows for abc are committed, d is an experiment's, e was asked by a run whose results nobody kept."""
    made = Project(tmp_path_factory.mktemp("clone"))
    made.begin("abc")
    made.asked("abc", "dvc", "exp", "run", "--temp", "-S", "wanted=abd")
    made.asked("ae")
    made.typed("git", "checkout", "-q", ".")
    return made


def letters(store: Path) -> str:
    with closing(sqlite3.connect(store)) as connection:
        return "".join(sorted(value[0] for (value,) in connection.execute("SELECT value FROM rows")))


@pytest.mark.slow
def test_what_results_and_experiments_need_stays(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    store = project.folder / ".cache/refuseu/rows.sqlite"
    assert letters(store) == "abcde"
    found = needed()
    assert (found.keys, found.unknown) == ({row_key(of=each) for each in "abcd"}, [])
    with closing(Store(store)) as rows:
        assert plan(rows, found.keys, YOUNG)[1] == [], "a row of today stays"
    command = ("python", "-m", "refuseu.maintenance", "gc", "--days", "0")
    said = project.typed(*command)
    assert [line.split() for line in said.splitlines()[2:6:3]] == [
        ["model", "rows", "needed", "younger", "than", "0", "days", "that", "go", "MB", "that", "go"],
        ["all", "4", "0", "1", "0.0"],
    ]
    assert "Nothing was removed. To remove the rows that go: make store-gc OPTIONS=--delete" in said
    assert letters(store) == "abcde"
    cache = project.folder / ".dvc/cache"
    cache.rename(project.folder / "elsewhere")
    with pytest.raises(AssertionError, match="nothing is removed, since rows that these tables need would go too"):
        project.typed(*command, "--delete")
    assert letters(store) == "abcde"
    (project.folder / "elsewhere").rename(cache)
    assert "1 rows were removed." in project.typed(*command, "--delete")
    assert letters(store) == "abcd"


def test_rows_of_before_checksums_are_as_young_as_their_first_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows how old they are; a run of yesterday may have paid for them."""
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    monkeypatch.setattr(collection, "needed", lambda: collection.Needed(set(), []))
    with closing(Store()) as store:
        store._connection.executemany("INSERT INTO rows VALUES (?, ?)", [(str(each), "1") for each in range(2500)])
        store._connection.commit()
    result = CliRunner().invoke(collection.main, ["--delete"])
    assert result.exit_code == 0, result.output
    assert "0 rows were removed." in result.output
    with closing(Store()) as store:
        assert [day for *_, day in store.origins()] == [today()] * 2500
