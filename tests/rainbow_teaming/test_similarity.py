import pytest

from refuseu.rainbow_teaming.similarity import bleu, self_bleu, too_similar

FOX, CAT = "the quick brown fox jumps", "seven cats sleep under that roof"


@pytest.mark.parametrize(
    ("candidate", "other", "expected"),
    [
        (FOX, FOX, 1.0),
        (FOX, CAT, 0.0),
        ("one two three", "one two three", 1.0),  # no quadruple, and none is missed
        # 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, and 1/2 by smoothing for no quadruple of one
        ("one two three four", "one two three five", (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25),
    ],
)
def test_bleu(candidate: str, other: str, expected: float) -> None:
    assert bleu(candidate, other) == pytest.approx(expected)


def test_too_similar_is_above_the_limit_to_any() -> None:
    assert too_similar(FOX, [CAT, FOX], 0.99)
    assert not too_similar(FOX, [CAT], 0.1)
    assert not too_similar(FOX, [], 0.0)
    assert not too_similar(FOX, [CAT], 0.0)


def test_self_bleu() -> None:
    assert self_bleu([FOX, FOX, FOX], 50, 1) == pytest.approx(1.0)
    assert self_bleu([FOX, CAT], 50, 1) == pytest.approx(0.0)
    assert self_bleu([FOX, FOX, CAT], 50, 1) == pytest.approx(2 / 3)


def test_self_bleu_of_fewer_than_two_is_zero() -> None:
    assert self_bleu([], 50, 1) == self_bleu([FOX], 50, 1) == self_bleu([FOX, FOX], 1, 1) == 0.0


def test_self_bleu_samples_by_the_seed() -> None:
    texts = [FOX, FOX, CAT]
    assert len({self_bleu(texts, 2, seed) for seed in range(20)}) == 2
    assert [self_bleu(texts, 2, seed) for seed in range(20)] == [self_bleu(texts, 2, seed) for seed in range(20)]
