import pandas as pd
import pytest

from refuseu.statistics.rates import holm, mean, percent, wilson


def test_a_share_and_a_mean_of_nothing_are_none() -> None:
    assert percent(pd.Series([True, False, False, False])) == 25.0
    assert percent(pd.Series([], dtype=bool)) is None
    assert mean(pd.Series([1.0, None, 4.0])) == 2.5
    assert mean(pd.Series([None, None], dtype=float)) is None


@pytest.mark.parametrize(
    ("successes", "n", "confidence", "expected"),
    [
        (0, 10, 0.95, (0.0, 27.7533)),
        (1, 10, 0.95, (1.7876, 40.4150)),
        (10, 10, 0.95, (72.2467, 100.0)),
        (50, 100, 0.95, (40.3832, 59.6168)),
        (81, 263, 0.95, (25.5289, 36.6210)),  # Newcombe 1998, table I: 0.2553 to 0.3662
        (15, 148, 0.95, (6.2386, 16.0487)),  # Newcombe 1998, table I: 0.0624 to 0.1605
        (50, 100, 0.99, (37.5279, 62.4721)),
        (0, 0, 0.95, (0.0, 100.0)),
    ],
)
def test_wilson(successes: int, n: int, confidence: float, expected: tuple[float, float]) -> None:
    assert wilson(successes, n, confidence) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.5, 0.9], [1.0, 1.0, 1.0]),
        ([0.01, 0.01], [0.02, 0.02]),
    ],
)
def test_holm(p_values: list[float], expected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(expected)
