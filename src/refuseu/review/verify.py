"""A fresh run's results against the committed ones: the same bytes, the same within noise, or different, and where.

Weights differ in their last bits between processors of two makers, and so do a few answers. Whether that matters is asked of the
conclusions: every average over languages, and every statement of ``plots/eval/differences.json`` about which of two models is
better. Single languages and numbers without an interval are named where they moved far, and decide nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.core.files import parsed_json
from refuseu.results.markdown import printable, shown
from refuseu.review.changes import parameter_changes, parameters_at
from refuseu.review.gate import ALPHA, compared, outcomes_at, trained_at
from refuseu.review.locked import OUTCOMES, lock_at
from refuseu.review.paired import RATES, Movement
from refuseu.review.processes import git, reason
from refuseu.review.revisions import bytes_at, files_at
from refuseu.statistics.rates import holm

COMMITTED = "HEAD"
RESULTS = (Path("metrics"), Path("plots"))
DIFFERENCES = Path("plots/eval/differences.json")
EVALUATION = ("plots/eval", "metrics/eval")
"""What the names of files begin with whose numbers are percentages."""
TOLERANCE = 5.0
"""Where a number has no interval: points of a percentage, and percent of the largest number of its column elsewhere."""
ENDS = ("low", "high", "_bound")
"""What the names of an interval's ends end with; they are not compared by themselves."""
PLACES = ("seed", "step", "iteration")
"""Numbers that say which row it is."""
MOST_NAMED = 12
"""Lines of one kind that are shown."""


@dataclass(frozen=True)
class Files:
    """The files of ``RESULTS`` in Git, and what the run made of them."""

    committed: list[Path]
    other: list[Path]
    """Those with other bytes."""
    missing: list[Path]


@dataclass(frozen=True)
class Verification:
    """What was found."""

    files: Files
    outputs: list[str]
    """Outputs that DVC holds and that have other bytes."""
    checked: str = ""
    """Which conclusions were checked, in words."""
    conclusions: list[str] = field(default_factory=list)
    """Those that differ, a line each."""
    also: list[str] = field(default_factory=list)
    """What moved far and decides nothing, a line each."""
    unknown: str = ""
    """Why nobody can tell noise from a change."""

    @property
    def holds(self) -> bool:
        """Whether the run confirms what is committed."""
        return not (self.conclusions or self.unknown or self.files.missing)

    @property
    def sentence(self) -> str:
        """The conclusion."""
        files = self.files
        if files.missing:
            return (
                f"{len(files.missing)} of {len(files.committed)} committed files are missing here, first {files.missing[0]}; "
                "'make repro' makes them, 'git restore metrics plots' brings them back"
            )
        if not files.other:
            return f"The same bytes in all {len(files.committed)} files as in the last commit."
        differ = f"This run and the last commit differ in {len(files.other)} of {len(files.committed)} files"
        if self.unknown:
            return f"{differ}; {self.unknown}"
        found = len(self.conclusions)
        return f"{differ} and in {found or 'no'} conclusion{'s' * (found > 1)} ({self.checked})."

    def lines(self) -> Iterator[str]:
        """The sentence, and what it rests on."""
        yield self.sentence
        yield from _first(self.conclusions, "conclusions")
        if self.also:
            yield "Moved far, and no conclusion:"
            yield from _first(self.also, "more")
        if self.outputs:
            yield f"Outputs of DVC with other bytes: {', '.join(self.outputs)}"


def _first(lines: Sequence[str], kind: str) -> Iterator[str]:
    yield from (f"  {printable(line)}" for line in lines[:MOST_NAMED])
    if len(lines) > MOST_NAMED:
        yield f"  and {len(lines) - MOST_NAMED} {kind}"


def other_parameters() -> list[str]:
    """What differs from the last commit in the parameters, or in those that the last run read; a line each.

    Raises:
        UserError: when there is no last commit, or the parameters or dvc.lock of one of both cannot be read.
    """
    if git("rev-parse", "--verify", "--quiet", COMMITTED).returncode:
        raise UserError("verify: there is no commit to compare with; 'git add -A' and 'git commit' make the first one")
    written = parameter_changes(parameters_at(COMMITTED), parameters_at(None))
    if written:
        return written
    before, after = (_parameters_that_ran(revision) for revision in (COMMITTED, None))
    return [f"{key}, as dvc.lock has it" for key in before if key in after and before[key] != after[key]]


def _parameters_that_ran(revision: str | None) -> dict[str, object]:
    """By stage, file and key, what dvc.lock has of the parameters that the stage read."""
    return {
        f"{stage}: {file}: {key}": value
        for stage, ran in lock_at(revision).stages.items()
        for file, read in ran.params.items()
        for key, value in (read if isinstance(read, dict) else {}).items()
    }


def compare_files() -> Files:
    """Look at every file of ``RESULTS`` that Git holds.

    Raises:
        UserError: when Git cannot tell.
    """
    names = [path.as_posix() for path in RESULTS]
    asked = git("diff", "--name-status", "--no-renames", "--no-ext-diff", "--relative", "-z", COMMITTED, "--", *names)
    if asked.returncode:
        raise UserError(f"verify: {reason(asked)}")
    parts = asked.stdout.split("\0")
    changed = dict(zip(parts[1::2], parts[0::2], strict=False))
    committed = [path for folder in RESULTS for path in files_at(COMMITTED, folder)]
    known = {path.as_posix(): path for path in committed}
    return Files(
        committed,
        [known[name] for name, how in sorted(changed.items()) if how != "D" and name in known],
        [known[name] for name, how in sorted(changed.items()) if how == "D"],
    )


def outputs_of_dvc() -> list[str]:
    """The outputs that Git does not hold and that dvc.lock names with other bytes than in the last commit."""
    before, after = (
        {each.path: each.md5 for stage in lock.stages.values() for each in stage.outs}
        for lock in (lock_at(COMMITTED), lock_at(None))
    )
    held = tuple(f"{folder.as_posix()}/" for folder in RESULTS)
    return sorted(path for path, md5 in before.items() if after.get(path, md5) != md5 and not path.startswith(held))


def verify() -> Verification:
    """Compare the results in the workspace with those of the last commit.

    Raises:
        UserError: when there is no last commit, or a file of either is none that this project wrote.
    """
    files, outputs = compare_files(), outputs_of_dvc()
    if files.missing or not files.other:
        return Verification(files, outputs)
    if not {OUTCOMES, DIFFERENCES} <= {*files.committed}:
        unknown = f"the last commit has no {OUTCOMES} and {DIFFERENCES}, so nobody can tell noise from a change"
        return Verification(files, outputs, unknown=unknown)
    averages, cells = compared(outcomes_at(COMMITTED), outcomes_at(None), trained_at(COMMITTED) | trained_at(None))
    before, after = (statements(_json(revision, DIFFERENCES)) for revision in (COMMITTED, None))
    untold = sum(isnan(each.p_differs) for each in averages)
    return Verification(
        files,
        outputs,
        checked=f"checked: {len(averages)} averages, of the models that answer otherwise, and {len(before)} of {DIFFERENCES}"
        + (f"; of {untold} averages nobody knows how far seeds move them" if untold else ""),
        conclusions=[*_described(_different(averages)), *_changed(before, after)],
        also=[*_described(_different(cells)), *far_numbers(files.other)],
    )


def _different(movements: Sequence[Movement]) -> list[Movement]:
    """Those that moved by more than noise, Holm over all, the farthest first."""
    known = [each for each in movements if not isnan(each.p_differs)]
    corrected = holm([each.p_differs for each in known])
    found = [each for each, p in zip(known, corrected, strict=True) if p < ALPHA]
    return sorted(found, key=lambda each: -abs(each.difference))


def _described(movements: Sequence[Movement]) -> Iterator[str]:
    for each in movements:
        where = f"in {each.lang}" if each.lang else "on average"
        yield f"{each.model}, {RATES[each.rate].gate} {where}: {shown(each.before)} -> {shown(each.after)}"


def statements(rows: Any) -> dict[tuple[str, str, str], str]:
    """What ``DIFFERENCES`` says of two models in a rate: which of them has the higher one, or that they cannot be told apart."""
    return {(row["rate"], row["model"], row["reference"]): _said(row) for row in rows}


def _said(row: dict[str, Any]) -> str:
    if not row["told_apart"]:
        return "not told apart"
    return "higher" if row["difference"] > 0 else "lower"


def _changed(before: dict[tuple[str, str, str], str], after: dict[tuple[str, str, str], str]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            rate, model, reference = key
            said = " -> ".join(side.get(key, "not compared") for side in (before, after))
            yield f"{rate}: {model} beside {reference}: {said}"


def far_numbers(paths: Sequence[Path]) -> Iterator[str]:
    """A line for each number that moved by more than its interval or the tolerance allows, in files that are JSON.

    Rates of which the outcomes are known are left to their tests.
    """
    for path in paths:
        if path.suffix != ".json" or path == OUTCOMES:
            continue
        before, after = (dict(numbers(_json(revision, path))) for revision in (COMMITTED, None))
        largest: dict[str, float] = {}
        for (*_, name), value in before.items():
            largest[name] = max(largest.get(name, 0.0), abs(value))
        of_eval = path.as_posix().startswith(EVALUATION)
        for key in (each for each in before if each in after and not each[-1].endswith(ENDS)):
            most = TOLERANCE if of_eval else TOLERANCE / 100 * largest[key[-1]]
            if _far(key, before, after, most, tested=of_eval and key[-1] in RATES):
                yield f"{path}: {', '.join(key)}: {before[key]:g} -> {after[key]:g}"


Key = tuple[str, ...]


def numbers(content: Any, *key: str) -> Iterator[tuple[Key, float]]:
    """Every number of a JSON document, by what it is of: the names above it, and the texts and places of its row."""
    if isinstance(content, dict):
        row = [str(value) for name, value in content.items() if isinstance(value, str) or name in PLACES]
        for name, value in content.items():
            yield from numbers(value, *key, *row, name)
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from numbers(value, *key, *([] if isinstance(value, dict) else [str(place)]))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield key, float(content)


def _far(key: Key, before: dict[Key, float], after: dict[Key, float], most: float, tested: bool) -> bool:
    """Whether one of both values lies outside the other's interval; without intervals, whether they are ``most`` apart."""
    *row, name = key
    ends = [(*row, f"{'' if name == 'difference' else f'{name}_'}{end}") for end in ("low", "high")]
    if all(end in side for end in ends for side in (before, after)):
        sides = ((before, after), (after, before))
        return not all(one[ends[0]] <= other[key] <= one[ends[1]] for one, other in sides)
    return not tested and abs(after[key] - before[key]) > most


def _json(revision: str | None, path: Path) -> Any:
    try:
        return parsed_json(bytes_at(revision, path))
    except ValueError:
        raise UserError(f"{path} at {revision or 'the workspace'!r} is not JSON") from None
