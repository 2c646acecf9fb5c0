"""The regression gate of a pull request: ``python -m refuseu.commands.gate main``.

Compares the evaluation in the workspace (or at HEAD) with the one at the revision BASE, question by question, and fails where a
metric of the gate (attack success, unparsed answers, over-refusal, language consistency of whole answers and by line,
knowledge) got worse by more than chance.

Exit codes: 0 for no regression, 1 for a regression, 2 for a fault, such as an evaluation that is not within reach.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd

from refuseu.commands.processes import reason, run_module
from refuseu.commands.terminal import tolerate_encodings
from refuseu.core.errors import UserError
from refuseu.core.schema import Schema, read_table
from refuseu.core.sections import load
from refuseu.eval.schemas import ANSWER, KNOWLEDGE
from refuseu.eval.settings import EvalParameters
from refuseu.results.markdown import Table, shown, span
from refuseu.results.metrics import BY_NAME, METRICS
from refuseu.results.statistics import holm, mcnemar

EVALUATION = Path("data/eval")
TABLES: dict[str, Schema] = {"answers.parquet": ANSWER, "knowledge.parquet": KNOWLEDGE}
RATES = {metric.gate: metric for metric in METRICS if metric.gate}
"""What is compared, by the name of its bad outcomes, so that for every rate more is worse."""
ASR, UNPARSED = BY_NAME["asr"].gate, BY_NAME["unparsed_rate"].gate
LEAST_COMMON = 0.5
"""Share of the questions that both revisions must have asked."""
UNIT = ["rate", "model", "lang", "unit"]
SIDES = ("before", "after")
REGRESSION, FAULT = 1, 2
"""Exit codes."""


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
        parts.append(rows.assign(rate=rate, unit=rows["question_id"], bad=metric.bad(rows)))
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


def markdown(
    paired: pd.DataFrame, comparisons: list[Comparison], alpha: float, max_unparsed: float, base: str, notes: list[str]
) -> str:
    """The gate's table: every regression, then each model's averages over languages."""
    regressions = [each for each in comparisons if each.regressed(alpha)]
    ranges = unjudged(paired, max_unparsed)
    lines = [
        f"### Gate against {base}: {len(regressions) or 'no'} regression{'s' if len(regressions) != 1 else ''}",
        "",
        f"{len(comparisons)} exact McNemar tests, Holm-corrected, alpha {alpha:g}. In percent; for every rate, more is worse.",
        *[f"* {note}" for note in (*notes, *_range_notes(ranges, max_unparsed))],
    ]
    if regressions:
        lines += ["", _regressions(regressions).markdown()]
    lines += ["", Table(["model", *RATES], list(_averages(shares(paired), ranges))).markdown()]
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
        UserError: when there is no such revision, or no evaluation at it that is within reach and has today's columns.
    """
    if revision is None:
        return _read(EVALUATION)
    with tempfile.TemporaryDirectory() as temporary:
        folder = _fetch(revision, Path(temporary) / EVALUATION.name)
        try:
            return _read(folder)
        except UserError as error:
            wrong = error.message.removeprefix(f"{folder}/").partition("; ")[0]
            raise UserError(
                f"gate: the evaluation at {revision!r} cannot be compared with ({wrong}); "
                "a change of the tables needs a new baseline: merge it by itself first"
            ) from None


def _read(folder: Path) -> pd.DataFrame:
    return outcomes(*(read_table(folder / name, schema) for name, schema in TABLES.items()))


def _fetch(revision: str, folder: Path) -> Path:
    """Bring the evaluation's tables at ``revision`` from DVC's cache or remote into ``folder``.

    By DVC's command line: what its library raises has no common base.
    """
    # DVC knows a project in a subfolder of the Git repository at a revision by the repository's root alone.
    root, prefix = _project()
    got = run_module("dvc", "get", root, f"{prefix}{EVALUATION}", "--rev", revision, "--out", str(folder))
    if not got.returncode:
        return folder
    if "unknown Git revision" in got.stderr:
        branch = revision.removeprefix("origin/")
        raise UserError(f"gate: no revision {revision!r}; 'git fetch origin {branch}' may bring it")
    raise UserError(
        f"gate: no evaluation at {revision!r} in DVC's cache or remote ({reason(got)}); "
        "'dvc fetch --all-commits eval' brings it where it was pushed; if it was not, 'dvc push' it where it was made"
    )


def _project() -> tuple[str, str]:
    """The Git repository's root as seen from here, and the way down from it to here (empty, or ending in a slash)."""
    asked = subprocess.run(
        ["git", "rev-parse", "--show-cdup", "--show-prefix"], capture_output=True, encoding="utf-8", check=False
    )
    if asked.returncode:
        raise UserError("gate: not in a Git repository; run from the project's root, in a clone of it")
    up, prefix = asked.stdout.split("\n")[:2]
    return up or ".", prefix


@contextmanager
def faults_apart() -> Iterator[None]:
    """Let a fault have another exit code than a regression."""
    try:
        yield
    except UserError as error:
        error.show()
        raise SystemExit(FAULT) from None


@click.command(help=__doc__)
@click.argument("base")
@click.argument("head", required=False)
@click.option("--alpha", default=0.05, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True))
def main(base: str, head: str | None, alpha: float) -> None:
    tolerate_encodings()
    with faults_apart():
        max_unparsed = load(EvalParameters).eval.max_unparsed
        before, after = evaluation_at(base), evaluation_at(head)
        paired = pair(before, after)
    comparisons = compare(paired, max_unparsed)
    click.echo(markdown(paired, comparisons, alpha, max_unparsed, base, list(left_out(before, after, paired))))
    if any(each.regressed(alpha) for each in comparisons):
        raise SystemExit(REGRESSION)


if __name__ == "__main__":
    main()
