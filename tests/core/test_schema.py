from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refuseu.core.errors import UserError
from refuseu.core.schema import Schema, read_table
from refuseu.dpo.mix import MIX
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, ONLY_OURS, VOTE
from refuseu.label.labelling import VERDICT
from refuseu.tables.schemas import ELITE, PAIR, PART, QUESTION, REJECTION, TEST, TRANSLATION
from refuseu.tables.writing import write_table

SEEN = Schema(
    {"question_id": pa.string(), "lang": pa.string(), "held_out": pa.bool_()}, nullable=frozenset({"held_out"})
)
ROWS = pd.DataFrame(
    {"reason": ["late", "č", "early"], "lang": ["en", "de", "de"], "question_id": ["b", "b", "a"], "extra": [1, 2, 3]}
)


def test_a_row_without_a_value_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"question_id": ["a", "b"], "lang": ["en", "de"], "reason": pa.array(["x", None], pa.string())}), path
    )
    with pytest.raises(UserError) as error:
        read_table(path, REJECTION)
    assert error.value.message.startswith(
        f"{path}: row 2 (question_id b, lang de) has no reason; 'dvc checkout' brings"
    )


def test_a_value_that_nobody_can_know_may_lack_and_stays_apart_from_all_others(tmp_path: Path) -> None:
    rows = pd.DataFrame({"question_id": ["a", "b", "c"], "lang": "en", "held_out": [True, None, False]})
    write_table(rows, tmp_path / "rows.parquet", SEEN)
    assert read_table(tmp_path / "rows.parquet", SEEN)["held_out"].tolist() == [True, None, False]
    with pytest.raises(UserError, match=r"row 2 \(question_id b, lang en\) has no held_out"):
        read_table(tmp_path / "rows.parquet", Schema(SEEN.columns))


@pytest.mark.parametrize(
    ("schema", "nullable"),
    [
        (QUESTION, {"behavior_id", "frame_id", "style"}),
        (ELITE, {"behavior_id", "frame_id", "style", "fitness", "iteration", "written_by"}),
        (TRANSLATION, {"behavior_id", "frame_id", "style", "chrf"}),
        (PAIR, {"behavior_id", "frame_id", "style"}),
        (PART, {"behavior_id", "frame_id", "style", "held_out", "held_out_frame"}),
        (
            TEST,
            {"behavior_id", "frame_id", "style", "held_out", "held_out_frame", "category", "chosen", "rejected"},
        ),
        (ANSWER, {*ONLY_OURS, "category", "reasoning", "fluency"}),
        (VOTE, set()),
        (MIX, set()),
        (REJECTION, set()),
        (VERDICT, {"categories"}),
        (KNOWLEDGE, set()),
    ],
)
def test_every_table_has_its_key_among_its_columns_and_says_what_may_lack(schema: Schema, nullable: set[str]) -> None:
    assert schema.nullable == nullable
    assert set(schema.key) <= schema.columns.keys()
    assert nullable <= schema.columns.keys() - set(schema.key)


def test_a_row_is_named_by_the_whole_key_of_its_table() -> None:
    verdicts = pd.DataFrame([{"question_id": "q", "lang": "de", "item": "chosen", "judge": "nearest", "harm": None}])
    assert VERDICT.row_name(verdicts, 0) == "row 1 (question_id q, lang de, item chosen, judge nearest)"
    answers = pd.DataFrame([{"model": "slavic", "seed": 1, "question_id": "q", "lang": "de"}] * 2)
    assert ANSWER.row_name(answers, 1) == "row 2 (model slavic, seed 1, question_id q, lang de)"


def test_an_empty_table_can_be_written_and_nothing_can_be_made_of_it(tmp_path: Path) -> None:
    write_table(ROWS[:0], tmp_path / "rows.parquet", REJECTION)
    assert pq.read_table(tmp_path / "rows.parquet").schema.names == ["question_id", "lang", "reason"]
    with pytest.raises(UserError, match=r"rows\.parquet: holds no rows; metrics/\*\.json say"):
        read_table(tmp_path / "rows.parquet", REJECTION)


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_table(tmp_path / "rows.parquet", REJECTION)
    assert error.value.exit_code == 1
    assert error.value.message.startswith(f"{tmp_path}/rows.parquet: not a readable parquet file (")
    assert error.value.message.endswith("); 'dvc checkout' brings the last good one back, 'dvc repro' makes it anew")


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1 broken PAR1"])
def test_corrupt_table(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"rows\.parquet: not a readable parquet file \(.+\); 'dvc checkout'"):
        read_table(tmp_path / "rows.parquet", REJECTION)


def test_truncated_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_table(ROWS, path, REJECTION)
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


@pytest.mark.parametrize("schema", [QUESTION, ELITE, TRANSLATION, PAIR, PART, TEST, ANSWER, VOTE, VERDICT])
def test_a_value_of_another_spelling_is_refused_in_every_table_that_lists_values(
    schema: Schema, tmp_path: Path
) -> None:
    assert schema.values
    types: dict[pa.DataType, object] = {pa.bool_(): True, pa.int64(): 1, pa.int32(): 1, pa.float64(): 1.0}
    row = {name: types.get(kind, "x") for name, kind in schema.columns.items()}
    row |= {name: next(iter(known)) for name, known in schema.values.items()}
    path = tmp_path / "rows.parquet"
    for column, known in schema.values.items():
        for value in (*known, str(next(iter(known))).capitalize(), f" {next(iter(known))}", "harm", ""):
            rows = pa.Table.from_pylist([row, row | {"lang": "y", column: value}], pa.schema(schema.columns))
            pq.write_table(rows, path)
            if value in known:
                assert len(read_table(path, schema)) == 2
                continue
            with pytest.raises(UserError, match=rf"row 2 \(.+\) has the {column} '{value}', which no stage writes; "):
                read_table(path, schema)


def test_a_table_that_is_larger_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand rows of one value take 1 KB in the file."""
    path = tmp_path / "rows.parquet"
    rows = pa.table({name: pa.array(["x"] * 1000) for name in REJECTION.columns})
    pq.write_table(rows, path)

    class Memory:
        available = 20_000

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    with pytest.raises(
        UserError, match=r"rows\.parquet: takes at least 0\.0 GB of memory, and 0\.0 GB are free; free some"
    ):
        read_table(path, REJECTION)
