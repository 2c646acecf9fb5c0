"""The benchmarks measure the same work: what is compared finds the same, at sizes of a moment."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)


def test_both_ways_find_the_same_pairs() -> None:
    from cases import near_by_filters, near_by_product

    found = near_by_filters(400)()
    assert found == near_by_product(400)() > 400
    assert near_by_filters(0)() == 0


def test_both_ways_find_the_same_rows() -> None:
    from cases import fill, find_at_once, find_one_by_one

    fill(50)()
    assert find_at_once(50)() == find_one_by_one(50)() == 50


def test_a_split_compares_every_language() -> None:
    from cases import LANGUAGES, split

    found = split(200 * len(LANGUAGES))()
    assert sorted(found) == sorted(LANGUAGES)
    assert {(each.exact, each.near) for each in found.values()} == {(0, 0)}
    assert all(each.highest > 0 for each in found.values())


def test_texts_follow_from_the_seed() -> None:
    from texts import questions

    assert list(questions(5)) == list(questions(9))[:5]
    assert list(questions(5)) != list(questions(5, seed=1))


def test_a_ratio_stands_beside_ours_where_both_were_measured() -> None:
    from run import table

    rows = [
        {"case": "near_by_product", "rows": 1000, "seconds": 3.0, "megabytes": 500},
        {"case": "near_by_filters", "rows": 1000, "seconds": 0.5, "megabytes": 200},
        {"case": "near_by_filters", "rows": 2000, "seconds": 0.0, "megabytes": 1200},
    ]
    assert table(rows).splitlines()[2:] == [
        "| near_by_product | 1,000 | 3.00 | 500 |  |  |",
        "| near_by_filters | 1,000 | 0.50 | 200 | 6.0 | 2.5 |",
        "| near_by_filters | 2,000 | 0.00 | 1,200 |  |  |",
    ]
