"""The regression gate: two evaluations compared question by question, in every rate, model and language.

A rate regresses where it got worse by more than chance. The rates are those of the table of metrics that name their bad outcomes
(``Metric.gate``).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.errors import UserError
from refuseu.core.schema import Schema, read_table
from refuseu.core.sections import load
from refuseu.eval.schemas import ANSWER, KNOWLEDGE
from refuseu.eval.settings import EvalParameters
from refuseu.results.markdown import Table, shown, span
from refuseu.results.metrics import BY_NAME, METRICS
from refuseu.results.statistics import holm, mcnemar
from refuseu.review.locked import EVALUATION, check_workspace, rows_at
from refuseu.review.processes import reason, run_module
from refuseu.review.revisions import bring, project

TABLES = {
    "answers.parquet": (
        ANSWER,
        ["model", "seed", "question_id", "lang", "kind", "harm", "reply", "lang_restricted", "lines", "lines_right"],
    ),
    "knowledge.parquet": (KNOWLEDGE, ["model", "seed", "test", "question_id", "lang", "correct"]),
}
"""The tables and the columns that the rates are made of. With other columns they can be compared all the same."""
RATES = {metric.gate: metric for metric in METRICS if metric.gate}
"""What is compared, by the name of its bad outcomes, so that for every rate more is worse."""
ASR, UNPARSED = BY_NAME["asr"].gate, BY_NAME["unparsed_rate"].gate
LEAST_COMMON = 0.5
"""Share of the questions that both revisions must have asked."""
UNIT = ["rate", "model", "lang", "unit"]
SIDES = ("before", "after")
ALPHA = 0.05
"""The level of all tests together."""


@dataclass(frozen=True)
class Comparison:
    """One rate of one model in one language at two revisions, over the questions that both asked; shares 0-1."""

    rate: str
    model: str
    lang: str
    before: float
    after: float
    newly_bad: int
    newly_good: int
    p_holm: float

    def regressed(self, alpha: float) -> bool:
        return self.newly_bad > self.newly_good and self.p_holm < alpha


def outcomes(answers: pd.DataFrame, knowledge: pd.DataFrame) -> pd.DataFrame:
    """One row a (rate, model, language, question) with ``bad``: whether the answer makes the rate worse."""
    parts = []
    for rate, metric in RATES.items():
        rows = metric.over(knowledge if metric.of == "knowledge" else answers)
        parts.append(
            rows.assign(rate=rate, unit=rows["question_id"] + "@" + rows["seed"].astype(str), bad=metric.bad(rows))
        )
    return pd.concat([part[[*UNIT, "bad"]] for part in parts], ignore_index=True)


def pair(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The units that both have, with ``bad_before`` and ``bad_after``.

    Raises:
        UserError: when the two hardly asked the same.
    """
    paired = before.merge(after, on=UNIT, suffixes=("_before", "_after"))
    common = set(before["model"]) & set(after["model"])
    comparable = max(before["model"].isin(common).sum(), after["model"].isin(common).sum())
    if not common or len(paired) < LEAST_COMMON * comparable:
        raise UserError(
            f"gate: only {len(paired)} of {comparable} outcomes are of questions that both revisions asked, too few to compare; "
            "a change of the test part needs a new baseline: merge it by itself first"
        )
    return paired


def left_out(before: pd.DataFrame, after: pd.DataFrame, paired: pd.DataFrame) -> Iterator[str]:
    """A note about each kind of outcome that is not in ``paired``."""
    for when, one, other in (("before", before, after), ("now", after, before)):
        models = sorted(set(one["model"]) - set(other["model"]))
        if models:
            yield f"only {when}: {', '.join(models)}"
    asked = max(each["model"].isin(paired["model"]).sum() for each in (before, after))
    if len(paired) < asked:
        yield f"{len(paired)} of {asked} outcomes are of questions that both revisions asked; only they count"


def shares(paired: pd.DataFrame) -> pd.DataFrame:
    """The share (0-1) of bad outcomes ``before`` and ``after``, by rate, model and language."""
    found = paired.groupby(UNIT[:3], sort=False)[[f"bad_{side}" for side in SIDES]].mean()
    return found.set_axis(list(SIDES), axis="columns")


def unjudged(paired: pd.DataFrame, max_unparsed: float) -> pd.DataFrame:
    """Whether so much is unparsed that ASR is a range, ``before`` and ``after``, by model and language."""
    found = shares(paired)
    return found[found.index.get_level_values("rate") == UNPARSED].droplevel("rate") > max_unparsed


def compare(paired: pd.DataFrame, max_unparsed: float) -> list[Comparison]:
    """Exact McNemar tests by rate, model and language, Holm-corrected over all of them; none of an ASR that is a range."""
    ranges = unjudged(paired, max_unparsed).any(axis="columns")
    untested = {(ASR, *key) for key in ranges[ranges].index}
    tests = [
        (key, rows["bad_before"], rows["bad_after"])
        for key, rows in paired.groupby(UNIT[:3], sort=False)
        if key not in untested
    ]
    results = [mcnemar(list(after), list(before)) for _, before, after in tests]
    corrected = holm([p_value for _, _, p_value in results])
    return [
        Comparison(rate, model, lang, float(before.mean()), float(after.mean()), newly_bad, newly_good, p_holm)
        for ((rate, model, lang), before, after), (newly_bad, newly_good, _), p_holm in zip(
            tests, results, corrected, strict=True
        )
    ]


@dataclass(frozen=True)
class Verdict:
    """What the gate says of two evaluations."""

    paired: pd.DataFrame
    comparisons: list[Comparison]
    alpha: float
    max_unparsed: float
    left_out: list[str]
    """What was not compared, a note each."""

    @property
    def regressions(self) -> list[Comparison]:
        return [each for each in self.comparisons if each.regressed(self.alpha)]

    @property
    def headline(self) -> str:
        found = len(self.regressions)
        return f"{found or 'no'} regression{'s' * (found != 1)}"

    @property
    def summary(self) -> str:
        return (
            f"{len(self.comparisons)} exact McNemar tests, Holm-corrected, alpha {self.alpha:g}. In percent; for every rate, "
            "more is worse."
        )

    @property
    def notes(self) -> list[str]:
        return [*self.left_out, *_range_notes(unjudged(self.paired, self.max_unparsed), self.max_unparsed)]

    def markdown(self, base: str) -> str:
        """Every regression, then each model's averages over languages."""
        lines = [
            f"### Gate against {base}: {self.headline}",
            "",
            self.summary,
            *[f"* {note}" for note in self.notes],
        ]
        if self.regressions:
            lines += ["", _regressions(self.regressions).markdown()]
        ranges = unjudged(self.paired, self.max_unparsed)
        lines += ["", Table(["model", *RATES], list(_averages(shares(self.paired), ranges))).markdown()]
        return "\n".join(lines)


def _range_notes(ranges: pd.DataFrame, max_unparsed: float) -> Iterator[str]:
    for model, rows in ranges.groupby("model", sort=False):
        languages = [str(lang) for _, lang in rows[rows.any(axis="columns")].index]
        if languages:
            yield (
                f"{model}: more than {100 * max_unparsed:g}% of the answers in {', '.join(languages)} could not be judged "
                "before or now, so ASR is the range that they leave open, and is not tested there"
            )


def _regressions(found: list[Comparison]) -> Table:
    rows = [
        [each.model, each.rate, each.lang, shown(100 * each.before), shown(100 * each.after), shown(each.p_holm, ".2g")]
        for each in found
    ]
    return Table(["model", "rate", "language", "before", "after", "p (Holm)"], rows, names=3)


def _averages(shares: pd.DataFrame, ranges: pd.DataFrame) -> Iterator[list[str]]:
    """A row a model: every rate's mean over languages, before and after where they differ, a dash where none is common."""
    means = 100 * shares.groupby(["model", "rate"], sort=False).mean()
    models = means.index.unique("model")
    is_range = ranges.groupby("model").any().reindex(models, fill_value=False)
    for model in models:
        rates = means.loc[model].reindex(list(RATES))
        cells = {side: [shown(value) for value in rates[side]] for side in SIDES}
        for side in SIDES:
            if is_range.loc[model, side]:
                cells[side][0] = span(rates.loc[ASR, side], rates.loc[[ASR, UNPARSED], side].sum())
        pairs = zip(*cells.values(), strict=True)
        yield [model, *(before if before == after else f"{before} → {after}" for before, after in pairs)]


def evaluation_at(revision: str | None) -> pd.DataFrame:
    """``outcomes`` of the evaluation at a Git revision, or in the workspace for ``None``.

    Raises:
        UserError: when there is no such revision, or no evaluation at it that is within reach, belongs to its dvc.lock and has
            today's columns.
    """
    if revision is None:
        check_workspace()
        return _read(EVALUATION)
    with tempfile.TemporaryDirectory() as temporary:
        folder = _fetch(revision, Path(temporary) / EVALUATION.name)
        rows_at(revision)
        try:
            return _read(folder)
        except UserError as error:
            wrong = error.message.removeprefix(f"{folder}/").partition("; ")[0]
            raise UserError(
                f"gate: the evaluation at {revision!r} cannot be compared with ({wrong}); "
                "a change of the tables needs a new baseline: merge it by itself first"
            ) from None


def _read(folder: Path) -> pd.DataFrame:
    return outcomes(*(_table(folder / name, schema, needed) for name, (schema, needed) in TABLES.items()))


def _table(path: Path, schema: Schema, needed: list[str]) -> pd.DataFrame:
    """The columns ``needed`` of a table whose other columns may be those of another day."""
    try:
        others = {each.name: each.type for each in pq.read_schema(path) if each.name not in needed}
    except (pa.ArrowException, OSError):
        others = {}
    columns = {name: schema.columns[name] for name in needed}
    return read_table(path, replace(schema, columns={**columns, **others}), without=others)


def _fetch(revision: str, folder: Path) -> Path:
    """Bring the evaluation's tables at ``revision`` from DVC's cache or remote into ``folder``.

    By DVC's command line: what its library raises has no common base.
    """
    commit = bring(revision)
    # DVC knows a project in a subfolder of the Git repository at a revision by the repository's root alone.
    root, prefix = project()
    got = run_module("dvc", "get", root, f"{prefix}{EVALUATION}", "--rev", commit, "--out", str(folder))
    if got.returncode:
        raise UserError(
            f"gate: no evaluation at {revision!r} in DVC's cache or remote ({reason(got)}); "
            "'dvc fetch --all-commits eval' brings it where it was pushed; if it was not, 'dvc push' it where it was made"
        )
    return folder


def judge(base: str, head: str | None = None, alpha: float = ALPHA) -> Verdict:
    """Compare the evaluation at ``head``, or in the workspace, with the one at ``base``.

    Raises:
        UserError: when one of them is not within reach, or the two cannot be compared.
    """
    max_unparsed = load(EvalParameters).eval.max_unparsed
    before, after = evaluation_at(base), evaluation_at(head)
    paired = pair(before, after)
    compared = compare(paired, max_unparsed)
    return Verdict(paired, compared, alpha, max_unparsed, list(left_out(before, after, paired)))
