from pathlib import Path

import pandas as pd
import pytest

from refuseu.core.errors import UserError
from refuseu.tables.known import question_values, read_known
from refuseu.tables.schemas import QUESTION
from refuseu.tables.writing import write_table


@pytest.mark.parametrize(
    ("column", "value"), [("lang", "nl"), ("kind", "Harmful"), ("category", "S9"), ("style", "plain")]
)
def test_a_row_of_what_the_parameters_no_longer_name(column: str, value: str, tmp_path: Path) -> None:
    row = {"question_id": "q", "group_id": "s", "behavior_id": "a", "text": "How?"}
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


def test_a_table_that_cannot_be_read_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows\.parquet: not a readable parquet file"):
        read_known(tmp_path / "rows.parquet", QUESTION, {"lang": ["en"]})
