"""Averages and differences of rates, with intervals that hold for other questions and other seeds.

Rows are those of ``results.outcomes``: one an answer, with its ``rate``, ``model``, ``seed``, ``lang``, ``question_id``,
``behavior_id``, ``frame_id`` and ``outcome`` (1.0, 0.0, or NaN where it is not known). Numbers are in percent, differences in
points.

**What is estimated.** The mean over languages of each language's share; seeds are pooled, since all answer the same questions.
An unknown outcome is no success of an attack (``NO_SUCCESS``); other rates leave it out.

**Variance.** The questions of all languages come from a few behaviors and a few frames, so their outcomes are not independent.
The variance is clustered by both, across languages: ``V(behavior) + V(frame) - V(both)`` (Cameron, Gelbach and Miller 2011; for
evaluations of language models Miller 2024, arXiv 2411.00640), and never less than that by one of the two (MacKinnon, Nielsen and
Webb 2024). Each part is the sum over clusters of the squared sum of their residuals, times ``G / (G - 1)`` for ``G`` clusters.
Where training was repeated, the variance of the seeds' averages over their number is added. Quantiles are Student's, with the
degrees of freedom of Satterthwaite (1946): of the clusters, one less than the fewer of the two kinds.

**Interval.** Of an average, Wilson's (1927) score interval with the effective number of questions, ``p (1 - p) / V`` (Franco et
al. 2019), which stays between 0 and 100 and has a width at both. Of a difference, that of Newcombe (1998) from the two averages'
intervals and their correlation, or ``± t se`` where that is wider. In simulations of 1,000 draws they cover the truth in 93 to
97% of the cases, also near 0, where ``± t se`` of an average covers it in 87 to 93% (``tests/results/test_estimates.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Codes = np.ndarray[Any, np.dtype[np.intp]]
    Flags = np.ndarray[Any, np.dtype[np.bool_]]

NO_SUCCESS = frozenset({"asr"})
"""Rates in which an answer of unknown outcome counts as none: ASR. They are known only up to their unknown answers."""
CLUSTERS = {"behavior": "behavior_id", "frame": "frame_id"}
OF_ONE, OF_TWO = (1.0,), (1.0, -1.0)
"""The signs of the sides of an average and of a difference."""
QUESTION = "question"
"""What is clustered by where neither behaviors nor frames are known."""


@dataclass(frozen=True)
class Estimate:
    """An average (percent) or a difference (points), and how far it can be believed."""

    value: float
    """As it is published: an unknown outcome is no success, or left out."""
    low: float
    high: float
    """The interval; its ends are those of ``lower_bound`` and of ``upper_bound``."""
    se: float
    """Standard error of ``value``."""
    df: float
    """Degrees of freedom of ``se``."""
    seed_sd: float | None
    """Standard deviation of one seed's value; ``None`` where nothing was trained more than once."""
    seeds: int
    """Of a difference, the seeds of the model that has fewer."""
    questions: int
    """Different questions that the value rests on, each counted once for all languages and seeds."""
    clusters: str
    """What the variance is clustered by: ``behavior and frame``, one of them, or ``question`` where they are not known."""
    lower_bound: float
    """The value if unknown outcomes were as low as they can be; ``value`` itself where they are left out."""
    upper_bound: float
    """The same, as high as they can be."""

    def p_value(self, sides: int = 2) -> float:
        """Of the test that the value is 0: two-sided, or one-sided (``sides=1``) against a value above 0."""
        from scipy.stats import t

        if not self.se:
            return 1.0 if self.value == 0 or (sides == 1 and self.value < 0) else 0.0
        score = self.value / self.se
        return float(2 * t.sf(abs(score), self.df) if sides == 2 else t.sf(score, self.df))


def average(rows: "pd.DataFrame", confidence: float) -> Estimate | None:
    """The average of one rate of one model; ``None`` where no outcome counts."""
    return _estimate(rows, np.ones(len(rows)), OF_ONE, confidence)


def difference(rows: "pd.DataFrame", reference: str, confidence: float) -> Estimate | None:
    """One rate of a model less that of the model ``reference``; ``rows`` are of these two models.

    Only what both were asked counts, question by question and language by language. ``None`` where that is nothing.
    """
    theirs = (rows["model"] == reference).to_numpy()
    lang, question = _codes(rows["lang"]), _codes(rows["question_id"])
    asked = _both(lang, question)
    common = np.isin(asked, np.intersect1d(asked[theirs], asked[~theirs]))
    return _estimate(rows[common], np.where(theirs[common], -1.0, 1.0), OF_TWO, confidence)


def less_seen(rows: "pd.DataFrame", column: str, confidence: float) -> Estimate | None:
    """One rate of one model on unseen questions less that on seen ones; ``column`` (``held_out``) says which are unseen.

    A question of which that is not known counts on neither side. ``None`` where a side has no outcome that counts.
    """
    known = rows[rows[column].notna()]
    return _estimate(known, np.where(known[column].astype(bool), 1.0, -1.0), OF_TWO, confidence)


def complete_cases(rows: "pd.DataFrame") -> "pd.DataFrame":
    """``rows`` of two models without the questions of which either outcome is unknown, in any seed, language by language."""
    asked = _both(_codes(rows["lang"]), _codes(rows["question_id"]))
    return rows[~np.isin(asked, asked[rows["outcome"].isna().to_numpy()])]


def smallest_detectable(se: float, alpha: float, power: float = 0.8, df: float = inf, sides: int = 2) -> float:
    """The smallest true difference that a test at level ``alpha`` notices with probability ``power``; in the unit of ``se``."""
    from scipy.stats import t

    return float((t.isf(alpha / sides, df) + t.isf(1 - power, df)) * se)


def _estimate(rows: "pd.DataFrame", sign: "Floats", sides: Sequence[float], confidence: float) -> Estimate | None:
    """The average of the rows of ``sign`` 1, less that of those of ``sign`` -1 where the ``sides`` are two."""
    outcome = rows["outcome"].to_numpy(dtype=float)
    unknown = np.isnan(outcome)
    if not (unknown.any() and set(rows["rate"].unique()) <= NO_SUCCESS):
        rows, outcome, sign = (
            (rows[~unknown], outcome[~unknown], sign[~unknown]) if unknown.any() else (rows, outcome, sign)
        )
        return _contrast(_Design.of(rows), outcome, sign, sides, confidence) if {*sides} == {*sign.tolist()} else None
    if {*sides} != {*sign.tolist()}:
        return None
    design = _Design.of(rows)
    published, least, most = (
        _contrast(design, np.where(unknown, filled, outcome), sign, sides, confidence)
        for filled in (0.0, (sign < 0).astype(float), (sign > 0).astype(float))
    )
    return replace(published, low=least.low, high=most.high, lower_bound=least.value, upper_bound=most.value)


@dataclass(frozen=True)
class _Design:
    """Where each row stands."""

    lang: "Codes"
    seed: "Codes"
    clusters: "dict[str, Codes]"
    """The cluster of each row by what it is a cluster of: all that is known of every row and is not the same for all."""
    both: "Codes"
    """Its cluster by all of these."""
    questions: int
    models: int

    @classmethod
    def of(cls, rows: "pd.DataFrame") -> Self:
        found = {kind: _codes(rows[column]) for kind, column in CLUSTERS.items() if column in rows}
        varied = {kind: codes for kind, codes in found.items() if codes.min() >= 0 and codes.max() > 0}
        question = _codes(rows["question_id"])
        clusters = varied or {QUESTION: question}
        both = _both(*clusters.values()) if len(clusters) == 2 else question
        models = int(rows["model"].nunique())
        return cls(_codes(rows["lang"]), _codes(rows["seed"]), clusters, both, int(question.max()) + 1, models)

    def fewest(self, side: "Flags") -> int:
        """How many clusters the rows of a side have of the kind of which there are fewer."""
        return min(_count(codes[side]) for codes in self.clusters.values())

    def variance(self, influence: "Floats", side: "Flags", df: int) -> "_Variance":
        """The variance of the rows of a side by one kind of clusters, or by two; ``df`` are its degrees of freedom."""
        if not df:
            return _Variance(
                0.25, inf
            )  # one cluster says nothing about others: the largest variance that a share can have
        found = [_by(influence[side], codes[side]) for codes in self.clusters.values()]
        if len(found) == 2:
            found.append(sum(found) - _by(influence[side], self.both[side]))
        return _Variance(max(found), df)


def _contrast(
    design: _Design, outcome: "Floats", sign: "Floats", sides: Sequence[float], confidence: float
) -> Estimate:
    """The estimate where every outcome is known and each of the ``sides`` has rows."""
    parts = [_Average.of(design, outcome, sign == side) for side in sides]
    trained = [part.by_seed for part in parts]
    if len(parts) == 2 and design.models == 1:  # one training stands on both sides
        trained = [parts[0].by_seed - parts[1].by_seed]
    of_seeds = [_of_seeds(by_seed) for by_seed in trained]
    spans = [_wilson(part, design, confidence) for part in parts]
    influence = parts[0].influence - parts[1].influence if len(parts) == 2 else parts[0].influence
    df = min(design.fewest(part.side) for part in parts) - 1
    variance = _total([design.variance(influence, np.ones(len(outcome), dtype=bool), df), *of_seeds])
    value, low, high = spans[0].ends if len(parts) == 1 else _apart(spans[0], spans[1], variance, confidence)
    return Estimate(
        value=100 * value,
        low=100 * low,
        high=100 * high,
        se=100 * sqrt(variance.value),
        df=variance.df,
        seed_sd=_seed_sd(trained),
        seeds=min(int(np.isfinite(each).sum()) for each in trained),
        questions=design.questions,
        clusters=" and ".join(design.clusters),
        lower_bound=100 * value,
        upper_bound=100 * value,
    )


def _codes(column: "pd.Series") -> "Codes":
    import pandas as pd

    codes, _ = pd.factorize(column)
    return np.asarray(codes, dtype=np.intp)


@dataclass(frozen=True)
class _Average:
    """The average of the rows of one side, as a share from 0 to 1."""

    value: float
    influence: "Floats"
    """By how much each row moves it: its residual over the rows of its language; 0 for rows of the other side."""
    side: "Flags"
    """Which rows are on it."""
    by_seed: "Floats"
    """The average of each seed; NaN for a seed that this side does not have."""
    answers: int
    """Rows, as many as one seed has."""

    @classmethod
    def of(cls, design: _Design, outcome: "Floats", side: "Flags") -> Self:
        """The average of the rows that are on this ``side``."""
        lang, shape = design.lang, (int(design.lang.max()) + 1, int(design.seed.max()) + 1)
        cells = (lang * shape[1] + design.seed)[side]
        counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
        hits = np.bincount(cells, outcome[side], minlength=shape[0] * shape[1]).reshape(shape)
        with np.errstate(invalid="ignore"):  # NaN for what this side does not have
            by_lang, shares = hits.sum(axis=1) / counts.sum(axis=1), hits / counts
            by_seed = np.where(counts > 0, shares, 0.0).sum(axis=0) / (counts > 0).sum(axis=0)
        weights = 1 / (np.isfinite(by_lang).sum() * counts.sum(axis=1)[lang[side]])
        influence = np.zeros(len(outcome))
        influence[side] = (outcome[side] - by_lang[lang[side]]) * weights
        return cls(float(np.nanmean(by_lang)), influence, side, by_seed, int(side.sum() / np.isfinite(by_seed).sum()))


@dataclass(frozen=True)
class _Variance:
    """A variance of shares from 0 to 1, and the degrees of freedom that it was estimated with."""

    value: float
    df: float


def _total(parts: Sequence[_Variance]) -> _Variance:
    """The variance of a sum of independent parts, with Satterthwaite's degrees of freedom."""
    value = sum(part.value for part in parts)
    lost = sum(part.value**2 / part.df for part in parts)
    return _Variance(value, value**2 / lost if lost else parts[0].df)


def _of_seeds(by_seed: "Floats") -> _Variance:
    """The variance that training has in a mean over its seeds; 0 where it was not repeated, so that nobody knows it."""
    known = by_seed[np.isfinite(by_seed)]
    return _Variance(float(known.var(ddof=1)) / len(known), len(known) - 1) if len(known) > 1 else _Variance(0.0, inf)


def _seed_sd(trained: "Sequence[Floats]") -> float | None:
    """Of one seed of each training (points), over those that were repeated."""
    found = [each[np.isfinite(each)] for each in trained]
    variances = [float(each.var(ddof=1)) for each in found if len(each) > 1]
    return 100 * sqrt(sum(variances)) if variances else None


def _both(one: "Codes", other: "Codes") -> "Codes":
    """The cluster of each row by both."""
    _, codes = np.unique(one * (int(other.max(initial=0)) + 1) + other, return_inverse=True)
    return np.asarray(codes, dtype=np.intp)


def _count(codes: "Codes") -> int:
    """How many different ones there are."""
    return int(np.count_nonzero(np.bincount(codes)))


def _by(influence: "Floats", codes: "Codes") -> float:
    sums, count = np.bincount(codes, influence), _count(codes)
    return float((sums**2).sum()) * count / (count - 1) if count > 1 else 0.0


@dataclass(frozen=True)
class _Interval:
    """The average of one side, its interval and its variance, as shares from 0 to 1."""

    ends: tuple[float, float, float]
    """Value, low end, high end."""
    variance: float


def _wilson(part: _Average, design: _Design, confidence: float) -> _Interval:
    """Wilson's interval with the effective number of questions; where all outcomes are the same, that of the clusters."""
    fewest = design.fewest(part.side)
    variance = _total([design.variance(part.influence, part.side, fewest - 1), _of_seeds(part.by_seed)])
    share, spread = part.value, part.value * (1 - part.value)
    n = min(spread / variance.value, part.answers) if spread > 0 < variance.value else fewest
    z = _quantile(confidence, variance.df)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(spread / n + z**2 / (4 * n**2))
    return _Interval((share, max(0.0, middle - half), min(1.0, middle + half)), variance.value)


def _apart(ours: _Interval, theirs: _Interval, variance: _Variance, confidence: float) -> tuple[float, float, float]:
    """The difference and its interval, from the two averages' and the ``variance`` of the difference."""
    (one, low, high), (other, other_low, other_high) = ours.ends, theirs.ends
    scale = 2 * sqrt(ours.variance * theirs.variance)
    correlation = float(np.clip((ours.variance + theirs.variance - variance.value) / scale, -1, 1)) if scale else 0.0
    least = _quantile(confidence, variance.df) * sqrt(variance.value)

    def reach(first: float, second: float) -> float:
        return max(least, sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2)))

    value = one - other
    return value, value - reach(one - low, other_high - other), value + reach(high - one, other - other_low)


def _quantile(confidence: float, df: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, df))
