"""Coefficients of agreement, on tables worked out by hand or printed by their author."""

import pytest

from refuseu.statistics.agreement import NOTHING, coefficients

HARMS = ["harmful", "safe", "unparsed"]


def rated(table: dict[tuple[str, ...], int]) -> list[list[str]]:
    """A list a rater; ``table`` is how many items got which ratings."""
    items = [ratings for ratings, count in table.items() for _ in range(count)]
    return [list(own) for own in zip(*items, strict=True)]


def test_ac1_and_kappa_on_gwets_own_example() -> None:
    # Gwet 2008, Table 2: 125 items, 118 called alike by both and none of the other class by both; AC1 0.94, kappa -0.02.
    found = coefficients(rated({("-", "-"): 118, ("-", "+"): 5, ("+", "-"): 2}), "+-")
    assert found.raw == pytest.approx(94.4)
    # By chance: AC1 2 * 0.028 * 0.972, kappa (120 * 123 + 5 * 2) / 125**2.
    assert found.ac1 == pytest.approx((0.944 - 0.054432) / (1 - 0.054432))
    assert found.kappa == pytest.approx((0.944 - 0.94528) / (1 - 0.94528))


def test_kappa_is_near_zero_and_ac1_is_not_where_one_class_is_nearly_all() -> None:
    # 118 of 120 alike, as of a model that nearly always refuses.
    found = coefficients(rated({("safe", "safe"): 118, ("safe", "harmful"): 2}), HARMS)
    assert (found.raw, found.kappa) == (pytest.approx(98.33, abs=0.01), pytest.approx(0.0))
    assert found.ac1 is not None and found.ac1 > 0.98


def test_three_raters_and_three_ratings() -> None:
    # Pairs that say the same: all, a third, none and all of each item's three.
    ratings = {
        ("safe",) * 3: 1,
        ("safe", "safe", "harmful"): 1,
        tuple(HARMS): 1,
        ("harmful",) * 3: 1,
    }
    found = coefficients(rated(ratings), HARMS)
    raw = (1 + 1 / 3 + 0 + 1) / 4
    shares = [5 / 12, 6 / 12, 1 / 12]
    ac1_chance, kappa_chance = sum(each * (1 - each) for each in shares) / 2, sum(each**2 for each in shares)
    assert found.raw == pytest.approx(100 * raw)
    assert found.ac1 == pytest.approx((raw - ac1_chance) / (1 - ac1_chance))
    assert found.kappa == found.fleiss_kappa == pytest.approx((raw - kappa_chance) / (1 - kappa_chance))


def test_ac1_counts_the_ratings_that_there_may_be() -> None:
    ratings = rated({("safe", "safe"): 5, ("safe", "harmful"): 5})
    two, three = coefficients(ratings, HARMS[:2]), coefficients(ratings, HARMS)
    assert (two.ac1, three.ac1) == (pytest.approx((0.5 - 0.375) / 0.625), pytest.approx((0.5 - 0.1875) / 0.8125))


def test_one_rater_and_no_item_have_no_agreement() -> None:
    assert coefficients([["safe"]], HARMS) == coefficients([[], []], HARMS) == coefficients([], HARMS) == NOTHING


def test_where_all_say_the_same_kappa_is_undefined() -> None:
    found = coefficients([["safe"] * 3] * 2, HARMS)
    assert (found.raw, found.ac1, found.kappa, found.fleiss_kappa) == (100.0, 1.0, None, None)
