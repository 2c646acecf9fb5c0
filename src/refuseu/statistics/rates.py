"""Shares, means, intervals and tests; the statistics themselves are statsmodels'."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def percent(outcomes: "pd.Series") -> float | None:
    """The share of true values in percent; ``None`` when there is no value."""
    return 100 * float(outcomes.mean()) if len(outcomes) else None


def mean(values: "pd.Series") -> float | None:
    """The mean of the values that exist; ``None`` when there is none."""
    return float(values.mean()) if values.notna().any() else None


def wilson(successes: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of a share, in percent; (0, 100) when there is nothing to count."""
    from statsmodels.stats.proportion import proportion_confint

    if n == 0:
        return 0.0, 100.0
    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    return 100 * float(low), 100 * float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for testing all of them together (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    return [float(value) for value in multipletests(p_values, method="holm")[1]] if p_values else []
