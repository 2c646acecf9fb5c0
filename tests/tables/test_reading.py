from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.tables import reading
from refuseu.tables.reading import Batches, question_values, read_known
from refuseu.tables.schemas import QUESTION, REJECTION
from refuseu.tables.writing import write_table


@pytest.mark.parametrize(("column", "value"), [("lang", "nl"), ("category", "S9"), ("style", "plain")])
def test_a_value_that_the_parameters_do_not_name_is_refused(column: str, value: str, tmp_path: Path) -> None:
    row = {"question_id": "q", "group_id": "s", "behavior_id": "a", "frame_id": "slang-0", "text": "How?"}
    row |= {"lang": "en", "kind": "benign", "category": "S1", "style": "slang"}
    allowed = question_values(["en"], {"S1": "First"}, {"slang": "Slang"})
    path = tmp_path / "rows.parquet"
    write_table(pd.DataFrame([row]), path, QUESTION)
    assert len(read_known(path, QUESTION, allowed)) == 1
    lang = value if column == "lang" else "en"
    write_table(pd.DataFrame([row, row | {"question_id": "r", column: value}]), path, QUESTION)
    with pytest.raises(UserError) as error:
        read_known(path, QUESTION, allowed)
    assert error.value.message == (
        f"{path}: row 2 (question_id r, lang {lang}) has the {column} {value!r}, which params.yaml does not name; "
        "'dvc repro' makes the table anew"
    )


def test_a_table_that_cannot_be_read_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows\.parquet: not a readable parquet file"):
        read_known(tmp_path / "rows.parquet", QUESTION, {"lang": ["en"]})


SORTED = pd.DataFrame(
    {
        "question_id": ["a", "a", "b", "b", "c"],
        "lang": ["de", "en", "de", "en", "de"],
        "reason": ["early", "č", "late", "never", "x"],
    }
)


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batches:
    """Of a table of five rows, two at a time."""
    monkeypatch.setattr(reading, "BATCH", 2)
    write_table(SORTED, tmp_path / "rows.parquet", REJECTION)
    return Batches(tmp_path / "rows.parquet", REJECTION, ("reason",))


def test_a_table_in_batches_is_the_table_again_and_again(batches: Batches) -> None:
    assert [len(batch) for batch in batches] == [2, 2, 1]
    pd.testing.assert_frame_equal(pd.concat(batches), read_table(batches.path, REJECTION))


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4], [1, 4], [2], []])
def test_rows_get_what_they_lack_from_their_batches(places: list[int], batches: Batches) -> None:
    rows = read_table(batches.path, REJECTION, without=["reason"]).rename(columns={"lang": "code"})
    assert list(rows.columns) == ["question_id", "code"]
    completed = pd.concat(batches.complete(rows.iloc[places].assign(more=1)))
    assert completed["reason"].tolist() == SORTED["reason"].iloc[places].tolist()
    assert completed.index.tolist() == places
    assert set(completed.columns) == {"question_id", "code", "lang", "more", "reason"}


def test_a_gap_in_a_later_batch_is_named_by_its_place_in_the_table(batches: Batches) -> None:
    gap = SORTED.assign(reason=[*"abc", None, "e"])
    pq.write_table(pa.Table.from_pandas(gap, pa.schema(REJECTION.columns)), batches.path)
    with pytest.raises(
        UserError, match=r"rows\.parquet: row 4 \(question_id b, lang en\) has no reason; 'dvc checkout'"
    ):
        list(batches)
    assert read_table(batches.path, REJECTION, without=["reason"])["question_id"].tolist() == list("aabbc")


def test_a_table_that_breaks_off_inside_is_one_sentence(batches: Batches) -> None:
    content = bytearray(batches.path.read_bytes())
    content[4:60] = bytes(56)
    batches.path.write_bytes(content)
    with pytest.raises(UserError, match="not a readable parquet file"):
        list(batches)


def as_parquet(rows: pd.DataFrame, path: Path) -> Path:
    """Write rows as a hand, or another program, would: nothing is checked."""
    pq.write_table(pa.Table.from_pandas(rows, schema=pa.schema(REJECTION.columns), preserve_index=False), path)
    return path


def test_a_row_that_stands_twice_is_refused_in_every_way_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches too, where the two are in different ones."""
    monkeypatch.setattr(reading, "BATCH", 2)
    path = as_parquet(pd.concat([SORTED, SORTED.iloc[:1]], ignore_index=True), tmp_path / "rows.parquet")
    for read in (lambda: read_table(path, REJECTION), lambda: list(Batches(path, REJECTION, ("reason",)))):
        with pytest.raises(UserError) as error:
            read()
        assert error.value.message.startswith(
            f"{path}: row 6 (question_id a, lang de) stands twice; 'dvc checkout' brings the last good one back"
        )


def test_a_value_of_which_every_one_must_be_there_is_named_where_it_is_not(tmp_path: Path) -> None:
    path = as_parquet(SORTED, tmp_path / "rows.parquet")
    assert len(read_known(path, REJECTION, {"lang": ["de", "en"]}, every="lang")) == len(SORTED)
    with pytest.raises(
        UserError, match=r"rows\.parquet: has no row with the lang lv, sl, which params\.yaml names; take it out"
    ):
        read_known(path, REJECTION, {"lang": ["de", "lv", "en", "sl"]}, every="lang")
