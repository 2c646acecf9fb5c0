import pytest

from refuseu.deduplication import clusters, plain, similar_pairs

# abcdefg: abcde bcdef cdefg; abcdefh shares two of them, so 2 of 4
ONE, TWO, OTHER = "abcdefg", "abcdefh", "vwxyz uvw"


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.4, [(0, 0, 0.5), (0, 1, 1.0)]),
        (0.5, [(0, 0, 0.5), (0, 1, 1.0)]),
        (0.51, [(0, 1, 1.0)]),
        (1.0, [(0, 1, 1.0)]),
    ],
)
def test_pairs_reach_the_threshold(threshold: float, expected: list[tuple[int, int, float]]) -> None:
    assert similar_pairs([ONE, OTHER], [TWO, ONE], threshold) == expected


def test_a_list_with_itself_holds_both_orders_and_the_diagonal() -> None:
    texts = [ONE, TWO]
    assert similar_pairs(texts, texts, 0.5) == [(0, 0, 1.0), (0, 1, 0.5), (1, 0, 0.5), (1, 1, 1.0)]


def test_case_and_white_space_do_not_count_and_repeated_shingles_count_once() -> None:
    assert similar_pairs(["  ABC \n defg "], ["abc defg"], 1.0) == [(0, 0, 1.0)]
    assert similar_pairs(["aaaaaaaaaa"], ["aaaaa"], 1.0) == [(0, 0, 1.0)]
    assert plain("  Straße \t\n EINS ") == "strasse eins"


def test_nothing_to_compare() -> None:
    assert similar_pairs([], [ONE], 0.5) == similar_pairs([ONE], [], 0.5) == similar_pairs([], [], 0.5) == []


def test_a_text_of_fewer_than_five_characters_is_like_its_equal_alone() -> None:
    assert similar_pairs(["abcd", ONE], ["ABCD ", ONE], 0.1) == [(0, 0, 1.0), (1, 1, 1.0)]
    assert similar_pairs(["abc"], ["abcd"], 0.1) == []


@pytest.mark.parametrize(
    ("count", "pairs", "expected"),
    [
        (0, [], []),
        (3, [], [0, 1, 2]),
        (3, [(1, 1)], [0, 1, 2]),
        (4, [(3, 2), (0, 3)], [0, 1, 0, 0]),
        (5, [(3, 4), (1, 2), (2, 4)], [0, 1, 1, 1, 1]),
        (6, [(0, 1), (2, 3), (4, 5), (5, 3), (1, 2)], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_clusters_are_named_by_their_smallest_position(
    count: int, pairs: list[tuple[int, int]], expected: list[int]
) -> None:
    assert clusters(count, pairs) == expected
    assert clusters(count, [(other, one) for one, other in reversed(pairs)]) == expected
