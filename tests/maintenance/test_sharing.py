import gzip
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from refuseu.maintenance.__main__ import main
from refuseu.store.lines import Row, checksum, read, written
from refuseu.store.rows import Store, today

ROWS = {f"{number:064x}": f'["ā {number}\\n", "stop", []]' for number in range(50)}


def typed(*arguments: str, store: Path, exit_code: int = 0) -> str:
    result = CliRunner().invoke(main, [*arguments], env={"REFUSEU_STORE": str(store)})
    assert result.exit_code == exit_code, result.output
    return result.output


def paid(path: Path) -> None:
    with closing(Store(path)) as store:
        keys = list(ROWS)
        store.complete(keys[:20], lambda missing: ((place, ROWS[keys[place]]) for place in missing), "org/guard@1")
        store.complete(keys, lambda missing: ((place, ROWS[keys[place]]) for place in missing), "org/judge@2")


def whole(path: Path) -> dict[str, str]:
    with closing(Store(path)) as store:
        return {row.key: row.value for row in store.rows()}


def test_the_line_of_a_row() -> None:
    row = Row("ab", "ā\n", "org/name", "label", 7)
    content = '["ab", "ā\\n", "org/name", "label", 7]'.encode()
    assert written(row) == checksum(content).hex().encode() + b" " + content + b"\n"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_team_shares_its_rows(name: str, tmp_path: Path) -> None:
    paid(tmp_path / "mine.sqlite")
    file = tmp_path / name
    assert typed("export", str(file), store=tmp_path / "mine.sqlite") == f"{file}: 50 rows\n"
    before = file.read_bytes()
    typed("export", str(file), store=tmp_path / "mine.sqlite")
    assert file.read_bytes() == before, "the same rows are the same bytes"
    assert (before[:2] == b"\x1f\x8b") is name.endswith(".gz")
    with closing(Store(tmp_path / "other.sqlite")) as other:
        other.complete([next(iter(ROWS))], lambda _: [(0, "its own")])
    assert typed("import", str(file), store=tmp_path / "other.sqlite") == f"{file}: 49 new rows, 1 were here already\n"
    assert whole(tmp_path / "other.sqlite") == {**ROWS, next(iter(ROWS)): "its own"}
    with closing(Store(tmp_path / "other.sqlite")) as other:
        origins = {row.model: (row.stage, row.day) for row in other.rows() if row.value != "its own"}
    assert origins.keys() == {"org/guard@1", "org/judge@2"} and {day for _, day in origins.values()} == {today()}


def test_the_rows_of_one_model(tmp_path: Path) -> None:
    paid(tmp_path / "mine.sqlite")
    file = tmp_path / "rows.jsonl"
    assert typed("export", "--model", "guard", str(file), store=tmp_path / "mine.sqlite") == f"{file}: 20 rows\n"
    assert {row.model for row in read(file) if row} == {"org/guard@1"}


def test_a_line_that_was_changed_is_left_out_and_said(tmp_path: Path) -> None:
    paid(tmp_path / "mine.sqlite")
    file = tmp_path / "rows.jsonl"
    typed("export", str(file), store=tmp_path / "mine.sqlite")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"stop", b"stab")
    file.write_bytes(b"".join(lines)[:-5])
    said = typed("import", str(file), store=tmp_path / "other.sqlite", exit_code=1)
    assert f"{file}: 48 new rows, 0 were here already" in said
    assert f"Error: {file}: 2 lines do not fit their checksums and were left out; bring the file again" in said
    assert len(whole(tmp_path / "other.sqlite")) == 48


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:-30], lambda content: content[:40] + b"\x00" + content[41:]]
)
def test_a_compressed_file_that_was_cut_or_changed(spoil: object, tmp_path: Path) -> None:
    paid(tmp_path / "mine.sqlite")
    file = tmp_path / "rows.jsonl.gz"
    typed("export", str(file), store=tmp_path / "mine.sqlite")
    assert callable(spoil)
    file.write_bytes(spoil(file.read_bytes()))
    said = typed("import", str(file), store=tmp_path / "other.sqlite", exit_code=1)
    assert "lines do not fit their checksums" in said and "Traceback" not in said
    assert whole(tmp_path / "other.sqlite").items() <= ROWS.items()


@pytest.mark.parametrize("content", [None, b"no rows\n", gzip.compress(b"no rows\n"), b"\xff\n"])
def test_another_file_is_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    if content is not None:
        file.write_bytes(content)
    said = typed("import", str(file), store=tmp_path / "rows.sqlite", exit_code=1)
    assert said.splitlines()[-1].startswith(f"Error: {file}: ")
