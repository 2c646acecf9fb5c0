from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from disk import files_up_to

from refuseu.core.errors import UserError
from refuseu.core.schema import Schema, read_table
from refuseu.label.labelling import VERDICT
from refuseu.tables.schemas import REJECTION
from refuseu.tables.writing import account, write_batches, write_table

ROWS = pd.DataFrame(
    {"reason": ["late", "č", "early"], "lang": ["en", "de", "de"], "question_id": ["b", "b", "a"], "extra": [1, 2, 3]}
)


def test_a_table_comes_back_sorted_with_the_schemas_columns(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "new" / "rows.parquet", REJECTION)
    table = read_table(tmp_path / "new" / "rows.parquet", REJECTION)
    assert list(table.columns) == ["question_id", "lang", "reason"]
    assert table[["question_id", "lang"]].to_numpy().tolist() == [["a", "de"], ["b", "de"], ["b", "en"]]
    assert table["reason"].tolist() == ["early", "č", "late"]


def test_the_order_of_work_does_not_change_a_byte(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "one.parquet", REJECTION)
    write_table(ROWS[::-1], tmp_path / "two.parquet", REJECTION)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_batches_are_one_table(tmp_path: Path) -> None:
    batches = [ROWS[2:], ROWS[:2]]
    write_batches(iter([batches[0], ROWS[:0], batches[1]]), tmp_path / "rows.parquet", REJECTION)
    table = read_table(tmp_path / "rows.parquet", REJECTION)
    assert table["reason"].tolist() == ["early", "č", "late"]


@pytest.mark.parametrize("second", [ROWS[:2], ROWS[1:2]])
def test_batches_that_do_not_follow_on_are_refused_and_nothing_is_written(second: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows\.parquet: a batch begins with the key \('b', 'de'\), .* \('b', 'en'\)"):
        write_batches([ROWS[:2], second], tmp_path / "rows.parquet", REJECTION)
    assert list(tmp_path.iterdir()) == []


def test_two_rows_with_one_key_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows.parquet: two rows share the key \['question_id'\]"):
        write_table(ROWS, tmp_path / "rows.parquet", Schema(REJECTION.columns, ("question_id",)))
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_sorted_by_its_own_key(tmp_path: Path) -> None:
    row = {"question_id": "q", "lang": "de", "harm": "safe", "reply": "refusal", "categories": None}
    said = [("rejected", "ngrams"), ("chosen", "ngrams"), ("chosen", "lexicon")]
    write_table(
        pd.DataFrame([{**row, "item": item, "judge": judge} for item, judge in said]),
        tmp_path / "rows.parquet",
        VERDICT,
    )
    table = read_table(tmp_path / "rows.parquet", VERDICT)
    assert list(zip(table["item"], table["judge"], strict=True)) == sorted(said)


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_row_without_a_value_is_named_and_never_written(gap: float | None, tmp_path: Path) -> None:
    rows = pd.DataFrame({"question_id": ["a"], "lang": ["en"], "reason": ["x"], "chrf": [gap]})
    columns = {**REJECTION.columns, "chrf": pa.float64()}
    with pytest.raises(ValueError, match=r"new\.parquet: row 1 \(question_id a, lang en\) has no chrf"):
        write_table(rows, tmp_path / "new.parquet", Schema(columns))
    assert list(tmp_path.iterdir()) == []
    write_table(rows, tmp_path / "new.parquet", Schema(columns, nullable=frozenset({"chrf"})))
    assert pq.read_table(tmp_path / "new.parquet")["chrf"].null_count == 1


def test_a_column_that_is_missing_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="reason"):
        write_table(ROWS.drop(columns="reason"), tmp_path / "rows.parquet", REJECTION)
    assert list(tmp_path.iterdir()) == []


KEPT = pd.DataFrame({"lang": ["en", "en", "de"]})
REJECTED = pd.DataFrame({"lang": ["de", "de", "en"], "reason": ["too long", "empty", "too long"]})


def test_the_books_add_up() -> None:
    assert account(6, KEPT, REJECTED, ["en", "de", "lv"]) == {
        "rows_in": 6,
        "rows_out": 3,
        "rejected": {"empty": 1, "too long": 2},
        "rows_out_by_language": {"en": 2, "de": 1, "lv": 0},
        "rejected_by_language": {"en": 1, "de": 2, "lv": 0},
    }


def test_nothing_rejected() -> None:
    books = account(3, KEPT, REJECTED[:0], ["en", "de"])
    assert books["rejected"] == {}
    assert books["rejected_by_language"] == {"en": 0, "de": 0}


@pytest.mark.parametrize("rows_in", [5, 7])
def test_a_lost_row_is_an_error(rows_in: int) -> None:
    with pytest.raises(ValueError, match=f"{rows_in} rows in, 3 kept and 3 rejected"):
        account(rows_in, KEPT, REJECTED, ["en", "de"])


def test_a_table_that_cannot_be_written_is_one_sentence_and_the_old_one_stays(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "rows.parquet", REJECTION)
    before = (tmp_path / "rows.parquet").read_bytes()
    with files_up_to(100), pytest.raises(UserError, match=r"rows\.parquet: cannot be written \(.*File too large"):
        write_table(ROWS[:1], tmp_path / "rows.parquet", REJECTION)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    assert (tmp_path / "rows.parquet").read_bytes() == before
