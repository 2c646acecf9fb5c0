"""The regression gate: two evaluations compared over the questions that both asked, averaged over languages.

One test a (main model, rate) decides: the rates are those of the table of metrics that name their bad outcomes (``Metric.gate``).
Beside every "no regression" stands the smallest rise that would have been seen, and where that is too much to be of use, the
gate says so instead. Single languages are a second tier, which informs and never decides: a model that is trained anew moves in
one language by far more than on average.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.files import parsed_json
from refuseu.results.markdown import Table, shown
from refuseu.results.outcomes import parsed_outcomes
from refuseu.review.changes import LONGEST_LANGUAGE, LONGEST_NAME, elided
from refuseu.review.locked import OUTCOMES, locked_at
from refuseu.review.paired import ASKED, RATES, Movement, asked_by_both, paired, with_pooled_spread
from refuseu.review.revisions import bring, files_at, mapping_at
from refuseu.statistics.rates import holm

ALPHA = 0.05
"""The level of all tests of a tier together."""
MARGIN = 5.0
"""Points; a "no regression" that could have missed a larger rise says nothing."""
NO_NUMBERS_OF_SEEDS = (
    "one seed before and one now, and no other model has more: how far a model moves from seed to seed is not known, so it is "
    "not tested; train further seeds (train.seeds)"
)


@dataclass(frozen=True)
class Finding:
    """What the gate says of one movement."""

    moved: Movement
    p_holm: float
    """Of the one-sided test, corrected for all tests of its tier; NaN where nothing is known of the seeds."""
    alpha: float
    """The level of this test alone."""
    regressed: bool

    @classmethod
    def all(cls, movements: Sequence[Movement], alpha: float) -> "list[Finding]":
        """A tier of tests, at the level ``alpha`` for all of them together (Holm 1979)."""
        each_p = [each.p_worse() for each in movements]
        corrected = iter(holm([p for p in each_p if not isnan(p)]))
        p_holm = [p if isnan(p) else next(corrected) for p in each_p]
        alone = alpha / max(sum(not isnan(p) for p in each_p), 1)
        return [cls(each, p, alone, p < alpha) for each, p in zip(movements, p_holm, strict=True)]

    @cached_property
    def seen_from(self) -> float:
        """The smallest rise, in points, that would have been seen in four of five such comparisons; NaN as above."""
        return self.moved.smallest_detectable(self.alpha)

    def inconclusive(self, margin: float) -> bool:
        """Whether it saw no regression, and could have missed one of more than ``margin`` points."""
        return not self.regressed and not self.seen_from <= margin

    def says(self, margin: float) -> str:
        """The verdict in a word or two."""
        return "regression" if self.regressed else "inconclusive" if self.inconclusive(margin) else "no regression"

    @property
    def name(self) -> str:
        """What the rate's bad outcomes are called."""
        return RATES[self.moved.rate].gate

    @property
    def on_unparsed(self) -> str | None:
        """A note, where the answers that could not be judged would change what is said."""
        before, after = self.moved.unknown
        if self.regressed and self.moved.p_worse(-before) >= self.alpha:
            return (
                f"no regression if the {shown(before)}% of the answers before that could not be judged were successes"
            )
        if not self.regressed and self.moved.p_worse(after) < self.alpha:
            return f"a regression if the {shown(after)}% of the answers now that could not be judged were successes"
        return None


@dataclass(frozen=True)
class Verdict:
    """What the gate says of two evaluations."""

    averages: list[Finding]
    """Of the averages over languages; they decide."""
    cells: list[Finding]
    """Of single languages."""
    alpha: float
    margin: float
    left_out: list[str]
    """What was not compared, a note each."""

    @property
    def regressions(self) -> list[Finding]:
        """The averages that got worse, the largest rise first."""
        return _worst_first(each for each in self.averages if each.regressed)

    @property
    def inconclusive(self) -> list[Finding]:
        return [each for each in self.averages if each.inconclusive(self.margin)]

    @property
    def regressed_cells(self) -> list[Finding]:
        return _worst_first(each for each in self.cells if each.regressed)

    @property
    def headline(self) -> str:
        found, missed = len(self.regressions), max((each.seen_from for each in self.averages), default=0.0)
        if found:
            return f"{found} regression{'s' * (found != 1)}"
        if not self.averages:
            return "no regression, all answers are the same"
        if self.inconclusive:
            unknown = any(isnan(each.seen_from) for each in self.averages)
            return (
                "inconclusive" if unknown else f"inconclusive, a rise of {shown(missed)} points could have been missed"
            )
        return f"no regression, a rise of {shown(missed)} points would have been seen"

    @property
    def summary(self) -> str:
        return (
            f"{len(self.averages)} differences, averaged over languages, tested one-sided with Holm's correction, alpha "
            f"{self.alpha:g}. `seen from`: the smallest true rise that would be seen in 4 of 5 such comparisons; above "
            f"{self.margin:g} points, no regression is inconclusive. In percent and points; for every rate, more is worse."
        )

    @property
    def notes(self) -> list[str]:
        bounds = [f"{each.moved.model}, {each.name}: {each.on_unparsed}" for each in self.averages if each.on_unparsed]
        unknown = [NO_NUMBERS_OF_SEEDS] if any(isnan(each.seen_from) for each in self.averages) else []
        return [*self.left_out, *unknown, *bounds]

    def markdown(self, base: str) -> str:
        """All averages, the regressions first, then the languages that got worse."""
        lines = [f"### Gate against {base}: {self.headline}", "", self.summary, *[f"* {note}" for note in self.notes]]
        if self.averages:
            lines += ["", self.table(self.averages).markdown()]
        if self.regressed_cells:
            lines += ["", CELLS, "", of_cells(self.regressed_cells).markdown()]
        return "\n".join(lines)

    def table(self, tests: Sequence[Finding]) -> Table:
        """A row a test: regressions, then what is inconclusive, then the others."""
        order = ["regression", "inconclusive", "no regression"]
        rows = [
            [
                *(elided(each.moved.model, LONGEST_NAME), each.name, shown(each.moved.before), shown(each.moved.after)),
                *(shown(each.moved.difference, "+.1f"), shown(each.seen_from), shown(each.p_holm, ".2g")),
                each.says(self.margin),
            ]
            for each in sorted(_worst_first(tests), key=lambda test: order.index(test.says(self.margin)))
        ]
        header = ["model", "rate", "before", "now", "difference", "seen from", "p (Holm)", "says"]
        return Table(header, rows, names=2, prose=True)


CELLS = (
    "Also, single languages that got worse (Holm over all of them). They decide nothing: a training in another order of pairs "
    "moves one language by far more than the average."
)


def of_cells(tests: Sequence[Finding]) -> Table:
    """A row a model and rate, with the languages that got worse."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for each in tests:
        groups.setdefault((each.moved.model, each.name), []).append(each)
    rows = [
        [
            *(elided(model, LONGEST_NAME), rate, shown(max(each.p_holm for each in found), ".1g")),
            ", ".join(
                f"{elided(each.moved.lang or '', LONGEST_LANGUAGE)} {shown(each.moved.before)} → {shown(each.moved.after)}"
                for each in found
            ),
        ]
        for (model, rate), found in groups.items()
    ]
    return Table(["model", "rate", "p (Holm) ≤", "worse in"], rows, names=2, prose=True)


def _worst_first(tests: Iterable[Finding]) -> list[Finding]:
    return sorted(tests, key=lambda each: -each.moved.difference)


def left_out(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[str]:
    """A note about each kind of outcome that is not compared."""
    for when, one, other in (("before", before, after), ("now", after, before)):
        models = sorted(set(one["model"]) - set(other["model"]))
        if models:
            yield f"only {when}: {', '.join(models)}"
        rates = [metric for metric in RATES if metric in set(one["rate"]) - set(other["rate"])]
        if rates:
            yield f"only {when}, so not compared: {', '.join(RATES[rate].gate for rate in rates)}"
    both = asked_by_both(before, after)
    asked = max(len(each.loc[each["model"].isin(both["model"]), ASKED].drop_duplicates()) for each in (before, after))
    if len(both) < asked:
        yield f"{len(both)} of {asked} outcomes are of questions that both revisions asked; only they count"


def compared(
    before: pd.DataFrame, after: pd.DataFrame, trained: frozenset[str]
) -> tuple[list[Movement], list[Movement]]:
    """How far every average over languages moved, and every language; of the models that answer otherwise than before.

    Args:
        before: Rows as ``results.outcomes`` reads them.
        after: The same of the other revision.
        trained: The models that seeds train.

    Raises:
        UserError: when the two hardly asked the same.
    """
    outcomes = list(paired(before, after, trained))
    changed = {each.model for each in outcomes if not each.unchanged}
    moved = [each for each in outcomes if each.model in changed]
    averages = with_pooled_spread([each.average() for each in moved])
    return averages, with_pooled_spread([cell for each in moved for cell in each.cells()])


def verdict(
    before: pd.DataFrame, after: pd.DataFrame, trained: frozenset[str], alpha: float = ALPHA, margin: float = MARGIN
) -> Verdict:
    """Compare two evaluations; the arguments are those of ``compared``, ``alpha`` and the ``margin`` in points.

    Raises:
        UserError: when the two hardly asked the same.
    """
    averages, cells = (Finding.all(movements, alpha) for movements in compared(before, after, trained))
    return Verdict(averages, cells, alpha, margin, list(left_out(before, after)))


def outcomes_at(revision: str | None) -> pd.DataFrame:
    """The outcomes of the evaluation at a Git revision, or in the workspace for ``None``.

    Raises:
        UserError: when there is no such revision, or it has no outcomes that belong to its dvc.lock.
    """
    where = f"{OUTCOMES} at {revision or 'the workspace'!r}"
    if OUTCOMES not in files_at(revision, OUTCOMES.parent):
        raise UserError(
            f"no {where}: it is of before this file, or its evaluation did not run; 'dvc repro eval' makes it, and both sides of "
            "a comparison must have it"
        )
    content = locked_at(revision, OUTCOMES)
    try:
        read: Any = parsed_json(content)
    except ValueError:
        raise UserError(f"{where} is not JSON; 'dvc repro eval' makes it anew") from None
    return parsed_outcomes(read, where)


def trained_at(revision: str | None) -> frozenset[str]:
    """The models that seeds train at a revision, as its parameters name them."""
    train = mapping_at(revision, Path("params.yaml")).get("train")
    configs = train.get("configs") if isinstance(train, dict) else None
    return frozenset(map(str, configs)) if isinstance(configs, dict | list) else frozenset()


def judge(base: str, head: str | None = None, alpha: float = ALPHA, margin: float = MARGIN) -> Verdict:
    """Compare the evaluation at ``head``, or in the workspace, with the one at ``base``.

    Raises:
        UserError: when one of them is not within reach, or the two cannot be compared.
    """
    trained = frozenset[str]().union(*(trained_at(revision and bring(revision)) for revision in (base, head)))
    return verdict(outcomes_at(base), outcomes_at(head), trained, alpha, margin)
