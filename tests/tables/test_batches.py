from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.tables import batches as module
from refuseu.tables.batches import Batches
from refuseu.tables.schemas import REJECTION
from refuseu.tables.writing import write_table

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
    monkeypatch.setattr(module, "BATCH", 2)
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
