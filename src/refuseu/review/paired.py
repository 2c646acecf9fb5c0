"""Two evaluations side by side: how far each rate moved, averaged over languages and in each of them, and how sure that is.

Both asked the same questions, so what counts is the difference question by question. Its variance has two parts. One is of the
questions: those of one behavior, or in one wording (frame), move together, so they are clustered both ways (Cameron, Gelbach and
Miller 2011), across languages and seeds. The other is of the seeds: a model that is trained anew in another order of pairs
answers otherwise, and the two evaluations drew their seeds independently. A rate is the share of its bad outcomes in percent, so
that more is worse everywhere.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from refuseu.core.errors import UserError
from refuseu.results.metrics import METRICS
from refuseu.results.outputs import main_models
from refuseu.statistics.estimates import CLUSTERS, NO_SUCCESS, smallest_detectable

Numbers = NDArray[np.float64]
RATES = {metric.name: metric for metric in METRICS if metric.gate}
"""What is compared."""
ASR = "asr"
QUESTION = ["kind", "question_id"]
ASKED = ["rate", "model", "lang", *QUESTION]
LEAST_COMMON = 0.5
"""Share of the outcomes that both evaluations must have."""


@dataclass(frozen=True)
class Movement:
    """One rate of one model before and now, over the questions that both evaluations asked; in percent and points."""

    rate: str
    model: str
    lang: str | None
    """``None`` for the average over languages."""
    before: float
    after: float
    variance: float
    """Of the difference, by the choice of questions; in squared points."""
    freedom: float
    """The degrees of freedom of ``variance``."""
    seeds: tuple[int, int]
    """How many seeds were trained before and now; 0 for a model that no seed trains, such as the base."""
    spread: float = 0.0
    """The variance of the rate from seed to seed; what is known of it from this model's own seeds."""
    spread_freedom: int = 0
    """The degrees of freedom of ``spread``; 0 where no side has two seeds."""
    unknown: tuple[float, float] = (0.0, 0.0)
    """Shares of the answers that could not be judged, which count as no success."""

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def of_seeds(self) -> float:
        """The seeds' part of the variance of the difference; NaN where nothing is known of it."""
        if not any(self.seeds):
            return 0.0
        return self.spread * sum(1 / max(count, 1) for count in self.seeds) if self.spread_freedom else float("nan")

    @property
    def se(self) -> float:
        """The standard error of the difference; NaN where nothing is known of the seeds."""
        return float(np.sqrt(self.variance + self.of_seeds))

    @property
    def df(self) -> float:
        """Degrees of freedom of ``se`` squared (Satterthwaite 1946)."""
        parts = [(self.variance, self.freedom), (self.of_seeds, self.spread_freedom)]
        weight = sum(variance**2 / freedom for variance, freedom in parts if variance and freedom)
        return (self.variance + self.of_seeds) ** 2 / weight if weight else float("inf")

    def p_worse(self, moved: float = 0.0) -> float:
        """One-sided: how likely it is to see at least this rise, and ``moved`` points more, where nothing rose."""
        return self._beyond(self.difference + moved)

    @property
    def p_differs(self) -> float:
        """Two-sided: how likely a difference of at least this size is where there is none."""
        return 2 * self._beyond(abs(self.difference))

    def _beyond(self, points: float) -> float:
        return float(stdtr(self.df, -points / self.se))

    def smallest_detectable(self, alpha: float) -> float:
        """The rise that a one-sided test at ``alpha`` would have seen in four of five such comparisons, in points."""
        return smallest_detectable(self.se, alpha, df=self.df, sides=1)


def shares(values: Numbers) -> Numbers:
    """The share of each language, over all seeds; ``values`` are of shape (..., seeds, languages, questions), NaN is left out."""
    known = ~np.isnan(values)
    counted = known.sum(axis=(-3, -1))
    found: Numbers = np.where(known, values, 0.0).sum(axis=(-3, -1)) / np.where(counted, counted, np.nan)
    return found


def influence(values: Numbers) -> Numbers:
    """What each question adds to the average over languages, beyond its expectation; of shape (..., questions)."""
    known = ~np.isnan(values)
    counted = known.sum(axis=(-3, -1))
    deviation = np.where(known, values - shares(values)[..., None, :, None], 0.0).sum(axis=-3)
    found: Numbers = np.nansum(deviation / np.where(counted, counted, np.nan)[..., None], axis=-2) / values.shape[-2]
    return found


def between_seeds(values: Numbers) -> Numbers:
    """The variance of the average over languages from seed to seed, of shape (...,); 0 where there is one seed."""
    by_seed: Numbers = np.nanmean(shares(np.moveaxis(values, -3, 0)[..., None, :, :]), axis=-1)
    return by_seed.var(axis=0, ddof=1) if len(by_seed) > 1 else np.zeros(by_seed.shape[1:])


def clustered_variance(residuals: Numbers, clusters: Sequence[NDArray[np.intp]]) -> Numbers:
    """The variance of the sum of ``residuals`` (..., questions), clustered by one or two groupings of the questions.

    As in ``statistics.estimates``, for many sums at once; a test holds the two together.
    """
    kinds = [*clusters]
    if len(kinds) == 2:
        kinds.append(kinds[0] * (kinds[1].max() + 1) + kinds[1])
    parts = [_between(residuals, np.unique(each, return_inverse=True)[1]) for each in kinds]
    if len(parts) == 1:
        return parts[0]
    found: Numbers = np.maximum(parts[0] + parts[1] - parts[2], np.maximum(parts[0], parts[1]))
    return found


def _between(residuals: Numbers, codes: NDArray[np.intp]) -> Numbers:
    members = np.equal.outer(codes, np.arange(codes.max() + 1)).astype(float)
    count = members.shape[1]
    found: Numbers = ((residuals @ members) ** 2).sum(axis=-1) * (count / max(count - 1, 1))
    return found


def variance_of_questions(before: Numbers, after: Numbers, clusters: Sequence[NDArray[np.intp]]) -> Numbers:
    """Of the difference of two averages over the same questions, of shape (...,).

    It is never less than that of one question that differs between the two: where no outcome differs at all, the estimate of
    a variance is 0, and its smallest value that makes sense is that of Agresti and Min (2005), who add half an outcome of each
    kind.
    """
    found: Numbers = clustered_variance(influence(after) - influence(before), clusters)
    least: Numbers = np.maximum(found, 1 / (after.shape[-1] + 2) ** 2)
    return least


@dataclass(frozen=True)
class Outcomes:
    """One rate of one model at two revisions, in the languages and over the questions that both asked."""

    rate: str
    model: str
    languages: list[str]
    questions: list[tuple[str, str]]
    """Their kinds and names."""
    before: Numbers
    """1 for a bad outcome and 0 for another, of shape (seeds, languages, questions); NaN for what does not count."""
    after: Numbers
    unknown: tuple[Numbers, Numbers]
    """The share of each language that could not be judged, before and now; such answers count as no success."""
    clusters: list[NDArray[np.intp]]
    """The behaviors and the frames of the questions; the questions themselves where neither is known."""
    trained: bool
    """Whether seeds train the model. The base and the models of others are what they are."""

    def same(self, other: "Outcomes") -> bool:
        """Whether both are the same in all outcomes, as where no answer mixes languages in single lines alone."""
        pairs = ((self.before, other.before), (self.after, other.after))
        equal = all(np.array_equal(one, another, equal_nan=True) for one, another in pairs)
        return equal and self.questions == other.questions

    @property
    def unchanged(self) -> bool:
        return np.array_equal(self.before, self.after, equal_nan=True)

    def average(self) -> Movement:
        """How far the average over languages moved."""
        before, after = (float(shares(side).mean()) for side in (self.before, self.after))
        spreads = [float(between_seeds(side)) for side in (self.before, self.after)]
        unknown = [float(side.mean()) for side in self.unknown]
        variance = float(variance_of_questions(self.before, self.after, self.clusters))
        return self._movement(None, before, after, variance, spreads, unknown)

    def cells(self) -> list[Movement]:
        """How far each language moved."""
        before, after = (np.swapaxes(side, 0, 1)[:, :, None, :] for side in (self.before, self.after))
        variances = variance_of_questions(before, after, self.clusters)
        columns = zip(
            self.languages, shares(before)[:, 0], shares(after)[:, 0], variances, between_seeds(before), between_seeds(after),
            *self.unknown, strict=True,
        )  # fmt: skip
        return [
            self._movement(lang, old, new, variance, [spread, other], [open_before, open_after])
            for lang, old, new, variance, spread, other, open_before, open_after in columns
        ]

    def _movement(
        self, lang: str | None, before: float, after: float, variance: float, spreads: list[float], unknown: list[float]
    ) -> Movement:
        seeds = (len(self.before), len(self.after)) if self.trained else (0, 0)
        freedom = [max(count - 1, 0) for count in seeds]
        known = sum(freedom)
        return Movement(
            rate=self.rate,
            model=self.model,
            lang=lang,
            before=100 * float(before),
            after=100 * float(after),
            variance=1e4 * float(variance),
            freedom=max(min(int(each.max()) for each in self.clusters), 1),
            seeds=seeds,
            spread=1e4 * float(np.dot(spreads, freedom)) / known if known else 0.0,
            spread_freedom=known,
            unknown=(100 * float(unknown[0]), 100 * float(unknown[1])),
        )


def with_pooled_spread(movements: Sequence[Movement]) -> list[Movement]:
    """The same, each with what all of them together say of the spread between seeds.

    Two or three seeds say little about one model, and one seed nothing. So the spread of each is the largest of three: its own;
    that of all models in the rate; and the latter times how much farther this model moves than others, on average over all that
    is known of it. In simulations with a model that moves 2.5 times as far as the others this keeps its level, where the larger
    of the first two does not (``tests/review/test_paired.py``).
    """
    pooled = {
        rate: _mean((each.spread, each.spread_freedom) for each in movements if each.rate == rate)
        for rate in {each.rate for each in movements}
    }
    farther = {
        model: _mean(
            (each.spread / pooled[each.rate], each.spread_freedom)
            for each in movements
            if each.model == model and pooled[each.rate]
        )
        for model in {each.model for each in movements}
    }
    freedom = Counter[str]()
    for each in movements:
        freedom[each.rate] += each.spread_freedom
    return [
        replace(
            each,
            spread=max(each.spread, pooled[each.rate] * max(1.0, farther[each.model])),
            spread_freedom=freedom[each.rate],
        )
        for each in movements
    ]


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    """The mean of numbers with weights; 0 where there is none."""
    values, weights = zip(*weighted, strict=True) if (weighted := list(weighted)) else ((), ())
    return float(np.average(values, weights=weights)) if sum(weights) else 0.0


def asked_by_both(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What both asked, a row a (rate, model, language, question).

    Raises:
        UserError: when that is hardly anything.
    """
    asked = [side[ASKED].drop_duplicates() for side in (before, after)]
    found = asked[0].merge(asked[1])
    models = set(before["model"]) & set(after["model"])
    comparable = max(int(side["model"].isin(models).sum()) for side in asked)
    if not models or len(found) < LEAST_COMMON * comparable:
        raise UserError(
            f"only {len(found)} of {comparable} outcomes are of questions that both revisions asked, too few to compare; "
            "a change of the test part needs a new baseline: merge it by itself first"
        )
    return found


def paired(before: pd.DataFrame, after: pd.DataFrame, trained: Collection[str]) -> Iterator[Outcomes]:
    """The outcomes of every main model in every rate that both revisions have, in the order of the table of metrics.

    Args:
        before: Rows as ``results.outcomes`` reads them.
        after: The same of the other revision.
        trained: The models that seeds train.

    Raises:
        UserError: when the two hardly asked the same.
    """
    asked = asked_by_both(before, after)
    grouped = [dict(tuple(side.merge(asked).groupby(["model", "rate"], sort=False))) for side in (before, after)]
    for model in main_models(after["model"]):
        seen: list[Outcomes] = []
        for rate in RATES:
            if any((model, rate) not in side for side in grouped):
                continue
            found = _outcomes(grouped[0][model, rate], grouped[1][model, rate], model in trained)
            if found.languages and not any(found.same(other) for other in seen):
                seen.append(found)
                yield found


def _outcomes(before: pd.DataFrame, after: pd.DataFrame, trained: bool) -> Outcomes:
    """Of one model in one rate; of the languages, those in which an outcome is known on both sides."""
    rate, model = str(after["rate"].iloc[0]), str(after["model"].iloc[0])
    known = [set(side.loc[side["outcome"].notna() | (rate in NO_SUCCESS), "lang"]) for side in (before, after)]
    languages = [lang for lang in dict.fromkeys(after["lang"]) if lang in known[0] & known[1]]
    sides = [side[side["lang"].isin(languages)] for side in (before, after)]
    questions = sides[1].drop_duplicates(QUESTION)
    order = languages, [*questions[QUESTION].itertuples(index=False, name=None)]
    tensors = [_tensor(side, *order) for side in sides]
    return Outcomes(
        rate=rate,
        model=model,
        languages=languages,
        questions=order[1],
        before=tensors[0],
        after=tensors[1],
        unknown=(_unknown(sides[0], languages), _unknown(sides[1], languages)),
        clusters=_clusters(questions),
        trained=trained,
    )


def _tensor(rows: pd.DataFrame, languages: list[str], questions: list[tuple[str, str]]) -> Numbers:
    """1 for a bad outcome and 0 for another, of shape (seeds, languages, questions)."""
    rate = rows["rate"].iloc[0] if len(rows) else ASR
    outcome = rows["outcome"].fillna(0.0) if rate in NO_SUCCESS else rows["outcome"]
    seeds = sorted(rows["seed"].unique())
    places = [
        pd.Index(seeds).get_indexer(rows["seed"]),
        pd.Index(languages).get_indexer(rows["lang"]),
        pd.MultiIndex.from_tuples(questions, names=QUESTION).get_indexer(pd.MultiIndex.from_frame(rows[QUESTION])),
    ]
    found = np.full((len(seeds), len(languages), len(questions)), np.nan)
    found[tuple(places)] = outcome if RATES[rate].better == "lower" else 1 - outcome
    return found


def _unknown(rows: pd.DataFrame, languages: list[str]) -> Numbers:
    """The share of each language that could not be judged where such an answer counts as no success; else 0."""
    if not set(rows["rate"]) <= NO_SUCCESS:
        return np.zeros(len(languages))
    found: Numbers = rows["outcome"].isna().groupby(rows["lang"]).mean().reindex(languages).to_numpy(dtype=float)
    return found


def _clusters(questions: pd.DataFrame) -> list[NDArray[np.intp]]:
    """By behavior and by frame, as far as all are known and not all the same; by question where neither is."""
    found = [pd.factorize(questions[column])[0] for column in CLUSTERS.values()]
    return [codes for codes in found if codes.min() >= 0 and codes.max() > 0] or [np.arange(len(questions))]
