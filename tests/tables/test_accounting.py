import pandas as pd
import pytest

from refuseu.tables.accounting import account

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
