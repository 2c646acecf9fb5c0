import random

import pytest

from refuseu.text import near_duplicates as deduplication
from refuseu.text.near_duplicates import Comparison, clusters, shingles, similar_pairs
from refuseu.text.normal import plain

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


def jaccard(one: str, other: str) -> float:
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def alike(rng: random.Random) -> list[str]:
    """Up to 30 short texts of few letters: empty, equal, a letter longer than another, or unlike."""
    texts = [""] * rng.randint(0, 2)
    for _ in range(rng.randint(0, 28)):
        fresh = "".join(rng.choices("ab C", k=rng.randint(0, 40)))
        texts.append(rng.choice([fresh, *(text + rng.choice(["", "a", "z", " xy"]) for text in texts[-3:])]))
    return texts


@pytest.mark.parametrize("block", [1, 60, deduplication.BLOCK])
@pytest.mark.parametrize("threshold", [0.5, 0.55, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95])
def test_no_filter_and_no_block_loses_or_adds_a_pair(
    threshold: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplication, "BLOCK", block)
    rng = random.Random(threshold)
    found = 0
    for _ in range(4):
        ours, theirs = alike(rng), alike(rng)
        theirs += [text + "z" for text in ours[::2]]
        every = [(i, j, jaccard(one, other)) for i, one in enumerate(ours) for j, other in enumerate(theirs)]
        expected = [pair for pair in every if pair[2] >= threshold]
        assert similar_pairs(ours, theirs, threshold) == expected
        assert Comparison(ours, theirs).highest() == max((pair[2] for pair in every), default=0.0)
        found += len(expected)
    assert found > 20


@pytest.mark.parametrize("shared", range(1, 60))
def test_a_similarity_of_exactly_the_threshold_reaches_it(shared: int) -> None:
    # A text of so many shingles and one of 60 that holds them all: a threshold times a size may round up.
    letters = "".join(chr(0x4E00 + number) for number in range(64))
    assert similar_pairs([letters[: shared + 4]], [letters], shared / 60) == [(0, 0, shared / 60)]
    assert similar_pairs([letters], [letters[: shared + 4]], shared / 60) == [(0, 0, shared / 60)]


def test_the_highest_similarity_lies_anywhere() -> None:
    assert Comparison([ONE, OTHER], [TWO, "1234567"]).highest() == 0.5
    assert Comparison([OTHER, *["1234567"] * 60, ONE], [TWO]).highest() == 0.5
    assert Comparison([ONE], [OTHER]).highest() == 0.0
    assert Comparison([], [ONE]).highest() == Comparison([ONE], []).highest() == Comparison([], []).highest() == 0.0


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
