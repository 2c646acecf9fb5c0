from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refuseu.errors import UserError
from refuseu.records import (
    QUESTION,
    REJECTION,
    atomic,
    question_values,
    read_json,
    read_table,
    rounded,
    write_json,
    write_table,
)

KEY = ["question_id", "lang"]
ROWS = pd.DataFrame(
    {"reason": ["late", "č", "early"], "lang": ["en", "de", "de"], "question_id": ["b", "b", "a"], "extra": [1, 2, 3]}
)


def test_a_table_comes_back_sorted_with_the_schemas_columns(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "new" / "rows.parquet", REJECTION, KEY)
    table = read_table(tmp_path / "new" / "rows.parquet", REJECTION)
    assert list(table.columns) == ["question_id", "lang", "reason"]
    assert table[KEY].to_numpy().tolist() == [["a", "de"], ["b", "de"], ["b", "en"]]
    assert table["reason"].tolist() == ["early", "č", "late"]


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_row_without_a_value_is_named_and_never_written(gap: float | None, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"question_id": ["a", "b"], "lang": ["en", "de"], "reason": pa.array(["x", None], pa.string())}), path
    )
    with pytest.raises(UserError) as error:
        read_table(path, REJECTION)
    assert error.value.message.startswith(
        f"{path}: row 2 (question_id b, lang de) has no reason; 'dvc checkout' brings"
    )
    rows = pd.DataFrame({"question_id": ["a"], "lang": ["en"], "reason": ["x"], "chrf": [gap]})
    with pytest.raises(ValueError, match=r"new\.parquet: row 1 \(question_id a, lang en\) has no chrf"):
        write_table(rows, tmp_path / "new.parquet", {**REJECTION, "chrf": pa.float64()}, KEY)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("column", "value"), [("lang", "nl"), ("kind", "Harmful"), ("category", "S9"), ("style", "plain")]
)
def test_a_row_of_what_the_parameters_no_longer_name(column: str, value: str, tmp_path: Path) -> None:
    row = {"question_id": "q", "slot_id": "s", "ask_id": "a", "text": "How?"}
    row |= {"lang": "en", "kind": "benign", "category": "S1", "style": "slang"}
    allowed = question_values(["en"], {"S1": "First"}, {"slang": "Slang"})
    path = tmp_path / "rows.parquet"
    write_table(pd.DataFrame([row]), path, QUESTION, KEY)
    assert len(read_table(path, QUESTION, allowed)) == 1
    lang = value if column == "lang" else "en"
    write_table(pd.DataFrame([row, row | {"question_id": "r", column: value}]), path, QUESTION, KEY)
    with pytest.raises(UserError) as error:
        read_table(path, QUESTION, allowed)
    assert error.value.message == (
        f"{path}: row 2 (question_id r, lang {lang}) has the {column} {value!r}, which params.yaml does not name; "
        "'dvc repro' makes the table anew"
    )


def test_the_order_of_work_does_not_change_a_byte(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "one.parquet", REJECTION, KEY)
    write_table(ROWS[::-1], tmp_path / "two.parquet", REJECTION, KEY)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_an_empty_table_can_be_written_and_nothing_can_be_made_of_it(tmp_path: Path) -> None:
    write_table(ROWS[:0], tmp_path / "rows.parquet", REJECTION, KEY)
    assert pq.read_table(tmp_path / "rows.parquet").schema.names == ["question_id", "lang", "reason"]
    with pytest.raises(UserError, match=r"rows\.parquet: holds no rows; metrics/\*\.json say"):
        read_table(tmp_path / "rows.parquet", REJECTION)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/rows\.json: cannot be written \(.+\)"):
        write_json({}, tmp_path / "file" / "rows.json")


def test_two_rows_with_one_key_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows.parquet: two rows share the key \['question_id'\]"):
        write_table(ROWS, tmp_path / "rows.parquet", REJECTION, ["question_id"])
    assert list(tmp_path.iterdir()) == []


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_table(tmp_path / "rows.parquet", REJECTION)
    assert error.value.exit_code == 1
    assert error.value.message.startswith(f"{tmp_path}/rows.parquet: no such file; 'dvc checkout' brings")
    assert "'dvc repro' makes it anew" in error.value.message


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1 broken PAR1"])
def test_corrupt_table(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"rows\.parquet: not a readable parquet file \(.+\); 'dvc checkout'"):
        read_table(tmp_path / "rows.parquet", REJECTION)


def test_truncated_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_table(ROWS, path, REJECTION, KEY)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="not a readable parquet file"):
        read_table(path, REJECTION)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"question_id": ["a"], "lang": ["en"]}, r"'reason' \(string\)"),
        ({"question_id": ["a"], "lang": ["en"], "reason": ["x"], "more": ["x"]}, r"'more' \(string\)"),
        ({"question_id": ["a"], "lang": ["en"], "reason": [1]}, r"'reason' \((int64|string)\)"),
    ],
)
def test_a_table_of_another_schema_names_the_column(
    columns: dict[str, list[object]], named: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=f"unexpected columns, first {named}; 'dvc checkout'"):
        read_table(tmp_path / "rows.parquet", REJECTION)


def test_json_keeps_the_order_and_rounds(tmp_path: Path) -> None:
    write_json({"z": 1 / 3, "a": [1, -0.00001, None], "ž": "ā"}, tmp_path / "new" / "metrics.json")
    text = (tmp_path / "new" / "metrics.json").read_text(encoding="utf-8")
    assert text == '{\n  "z": 0.3333,\n  "a": [\n    1,\n    0.0,\n    null\n  ],\n  "ž": "ā"\n}\n'
    assert read_json(tmp_path / "new" / "metrics.json") == {"z": 0.3333, "a": [1, 0.0, None], "ž": "ā"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -np.float64("inf")])
@pytest.mark.parametrize(
    ("place", "around"),
    [("0.loss", lambda number: [{"loss": number}]), ("tokens.de.1", lambda number: {"tokens": {"de": (1.0, number)}})],
)
def test_no_json_file_holds_a_number_that_is_not_finite(
    place: str, around: Callable[[float], object], number: float, tmp_path: Path
) -> None:
    (tmp_path / "metrics.json").write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"metrics\.json: {place} is not finite, and JSON has no such number"):
        write_json(around(number), tmp_path / "metrics.json")
    assert (tmp_path / "metrics.json").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe{}"])
def test_missing_or_broken_json(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"metrics\.json: cannot be read as JSON \(.+\); 'git restore .+metrics\.json' or 'dvc repro'",
    ):
        read_json(tmp_path / "metrics.json")


def test_rounded_goes_into_every_container_and_leaves_the_rest() -> None:
    content = {"a": (1.23456, True), "b": {"c": np.float64(0.00004), "d": "1.23456"}}
    assert rounded(content) == {"a": [1.2346, True], "b": {"c": 0.0, "d": "1.23456"}}
    assert rounded(1.26, digits=1) == 1.3


def test_atomic_leaves_the_old_file_when_the_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert [(each.name, each.read_text(encoding="utf-8")) for each in tmp_path.iterdir()] == [("file", "old")]
