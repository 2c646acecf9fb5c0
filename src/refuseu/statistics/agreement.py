"""How far raters agree: judges on answers, and people on what judges said.

Cohen's and Fleiss' kappa are statsmodels'. Where nearly all ratings are the same, agreement by chance is nearly as high as
agreement, and kappa is near 0 however often raters agree (the paradox of Feinstein and Cicchetti 1990); Gwet's AC1 stays near
the agreement there. So the three stand side by side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Coefficients:
    """How far raters agree on the same items; ``None`` where a number is not defined."""

    raw: float | None
    """The share (percent) of pairs of raters that say the same, mean over items; nothing for one rater or no item."""
    ac1: float | None
    """Gwet's AC1 (2008): agreement beyond chance, where chance is taken for the items that are hard to rate."""
    kappa: float | None
    """Cohen's kappa of two raters, Fleiss' of more; nothing where all ratings are the same."""
    fleiss_kappa: float | None
    """Fleiss' kappa of any number of raters; nothing where all ratings are the same."""


NOTHING = Coefficients(None, None, None, None)


def coefficients(ratings: Sequence[Sequence[str]], values: Sequence[str]) -> Coefficients:
    """Measure how far raters agree.

    Args:
        ratings: One sequence a rater, with one rating of each item, in the same order.
        values: All ratings that there may be, whether or not anybody gave them. AC1 depends on their number.
    """
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

    raters, items = len(ratings), len(ratings[0]) if ratings else 0
    if raters < 2 or not items:
        return NOTHING
    place = {value: number for number, value in enumerate(values)}
    codes = np.array([[place[each] for each in own] for own in ratings])
    counts = np.stack([(codes == number).sum(axis=0) for number in range(len(values))], axis=1)
    raw = float((counts * (counts - 1)).sum() / (items * raters * (raters - 1)))
    shares = counts.sum(axis=0) / counts.sum()
    chance = float((shares * (1 - shares)).sum()) / (len(values) - 1)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # where all ratings are the same, so are those by chance: 0 / 0
        fleiss = fleiss_kappa(counts)
        pairs = np.zeros((len(values), len(values)))
        np.add.at(pairs, (codes[0], codes[1]), 1)
        kappa = cohens_kappa(pairs, return_results=False) if raters == 2 else fleiss
    return Coefficients(100 * raw, (raw - chance) / (1 - chance), _defined(kappa), _defined(fleiss))


def _defined(number: float) -> float | None:
    return None if math.isnan(number) else float(number)
