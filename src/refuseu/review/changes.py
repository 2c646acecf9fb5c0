"""What changed between two revisions, as their files in Git say it: the parameters, and the numbers of every model.

No output of DVC is needed. What is shown is escaped where it is put into Markdown, since it may come from anybody's branch.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.paths import inside
from refuseu.results.markdown import NO_VALUE, Table, printable, shown, span
from refuseu.results.metrics import BY_NAME, METRICS, Metric
from refuseu.results.outputs import Measurements, with_numbers
from refuseu.review.locked import ROWS, locked_at
from refuseu.review.revisions import mapping_at

PARAMETERS, PROFILES = Path("params.yaml"), Path("profiles")
ASR = BY_NAME["asr"]
RATES = [ASR, *(each for each in METRICS if each.headline not in ("", "asr") and each.of != "averages")]
"""What is shown of a model, first the attack success rate, a range where it is one."""
MARKS = ((20.0, "🟧", "🟦"), (5.0, "🔸", "🔹"))
"""From how many points a difference has which mark, where it is worse and where it is better. Told apart without colours too."""
LEGEND = (
    "In points, now minus before. 🟧 worse by 20 or more, 🔸 by 5 or more; 🔹 better by 5 or more, 🟦 by 20 or more; "
    "· less than half a point; ? a range, now or before, since too much could not be judged."
)
LONGEST_KEY, LONGEST_VALUE, LONGEST_NAME, LONGEST_LANGUAGE = 40, 36, 22, 8
"""Characters of a parameter's key and value, of a model's name and of a language's code; what is longer is cut. A line of
parameters, or of headlines in a terminal, has at most 120."""
MOST = 15
"""Rows of a table, and lines of parameters, that are shown at once."""


def parameters_at(revision: str | None) -> dict[str, str]:
    """Every parameter of ``params.yaml`` and of its profile by its key with dots, as text.

    Raises:
        UserError: when one of the two files is not there or is no mapping.
    """
    experiment = mapping_at(revision, PARAMETERS)
    profile = mapping_at(revision, inside(PROFILES, f"{experiment.get('profile')}.yaml", f"{PARAMETERS}: profile"))
    return {**dict(_flat("", experiment)), **dict(_flat("", profile))}


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _flat(f"{key}.{name}".removeprefix("."), each)
    else:
        yield key, _text(value)


def _text(value: Any) -> str:
    """A value as YAML writes it on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(_text, value))}]"
        case _:
            return printable(str(value))


def parameter_changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A line for each parameter that differs, ``key: old → new``; after the first ones, how many more there are."""
    keys = [key for key in dict.fromkeys([*after, *before]) if before.get(key) != after.get(key)]
    both = {key: " → ".join(_both(before.get(key, NO_VALUE), after.get(key, NO_VALUE))) for key in keys[:MOST]}
    more = [f"and {len(keys) - MOST} more"] if len(keys) > MOST else []
    return [*(f"{elided(printable(key), LONGEST_KEY)}: {values}" for key, values in both.items()), *more]


def _both(*values: str) -> list[str]:
    """Both values, cut where they are long; what they have in common at the beginning goes first."""
    common = len(os.path.commonprefix(values)) if max(map(len, values)) > LONGEST_VALUE else 0  # noqa: RUF071
    start = max(common - LONGEST_VALUE // 4, 0)
    return [elided("…" * bool(start) + value[start:], LONGEST_VALUE) for value in values]


def elided(text: str, most: int) -> str:
    """``text``, of at most ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@with_numbers(RATES)
class Cell(Measurements):
    """One model in one language."""

    model: str
    language: str


Cells = dict[str, Cell]
"""One model's numbers by language."""


def cells_at(revision: str | None) -> dict[str, Cells]:
    """The numbers of the evaluation at a revision, by model and language.

    Raises:
        UserError: when there are none, they are not those of its dvc.lock, or they do not have the numbers of today.
    """
    content, where = locked_at(revision, ROWS), f"{ROWS} at {revision or 'the workspace'!r}"
    try:
        rows = validated(TypeAdapter(list[Cell]), _json(content, where), where)
    except UserError as error:
        raise UserError(f"{elided(error.message, 300)}; the numbers of the two cannot be compared") from None
    found: dict[str, Cells] = {}
    for row in rows:
        found.setdefault(row.model, {})[row.language] = row
    return found


def _json(content: bytes, where: str) -> Any:
    try:
        return TypeAdapter(Any).validate_json(content, strict=False)
    except ValueError:
        raise UserError(f"{where} is not JSON") from None


@dataclass(frozen=True)
class Change:
    """One model before and now."""

    model: str
    before: Cells
    after: Cells

    @property
    def worsening(self) -> float:
        """By how many points its average got worse in the rate that got worse most."""
        return max(_worse(metric, _mean(metric, self.before), _mean(metric, self.after)) for metric in RATES)

    def headline(self) -> list[str]:
        """Its averages before and now, and the language that is worst now."""
        averages = [_arrow(*(_average(metric, cells) for cells in (self.before, self.after))) for metric in RATES]
        return [elided(self.model, LONGEST_NAME), averages[0], self._worst(), *averages[1:]]

    def _worst(self) -> str:
        cell = max(self.after.values(), key=lambda each: each.asr_upper_bound)
        earlier = self.before.get(cell.language)
        return f"{elided(cell.language, LONGEST_LANGUAGE)} {_arrow(_short(earlier) if earlier else _short(cell), _short(cell))}"

    def differences(self, metric: Metric, languages: list[str]) -> list[str]:
        """A cell for each of ``languages``."""
        return [_difference(metric, self.before.get(lang), self.after.get(lang)) for lang in languages]

    @property
    def shows(self) -> bool:
        """Whether anything of it differs in what is shown."""
        languages = [*self.after]
        moved = (each for metric in RATES for each in self.differences(metric, languages))
        return any("→" in cell for cell in self.headline()) or any(each not in SAME for each in moved)


SAME = ("·", NO_VALUE)


def changes(before: dict[str, Cells], after: dict[str, Cells]) -> list[Change]:
    """Every model that both have and that differs, the one that got worse most first."""
    both = [Change(model, before[model], after[model]) for model in after if model in before]
    return sorted((each for each in both if each.shows), key=lambda each: -each.worsening)


def unpaired(before: dict[str, Cells], after: dict[str, Cells]) -> Iterator[str]:
    """The models that only one of both has, each with its average ASR; ``changes`` leaves them out."""
    for when, these, others in (("before", before, after), ("now", after, before)):
        for model, cells in these.items():
            if model not in others:
                yield f"only {when}: {elided(printable(model), LONGEST_NAME)}, ASR {_average(ASR, cells)}"


def name_of(metric: Metric) -> str:
    return "ASR" if metric is ASR else metric.headline.replace("_", "-")


def headlines(found: list[Change]) -> Table:
    header = ["model", "ASR", "worst now", *(name_of(metric) for metric in RATES[1:])]
    return Table(header, [each.headline() for each in found])


def heatmap(metric: Metric, found: list[Change]) -> Table | None:
    """A row for each model that differs in ``metric`` in any language, a column a language; nothing where none does."""
    languages = list(dict.fromkeys(lang for each in found for lang in each.after))
    rows = [(each, each.differences(metric, languages)) for each in found]
    shown_rows = [[elided(each.model, LONGEST_NAME), *cells] for each, cells in rows if {*cells} - {*SAME}]
    return Table(["model", *(elided(lang, LONGEST_LANGUAGE) for lang in languages)], shown_rows) if shown_rows else None


def _difference(metric: Metric, before: Cell | None, after: Cell | None) -> str:
    if before is None or after is None:
        return NO_VALUE
    old, new = before[metric.name], after[metric.name]
    if old is None or new is None:
        same = old is new and (metric is not ASR or _short(before) == _short(after))
        return NO_VALUE if same else "?"
    points = round(new - old)
    if not points:
        return "·"
    worse = _worse(metric, old, new)
    mark = next((bad if worse > 0 else good for least, bad, good in MARKS if abs(points) >= least), "")
    return f"{mark}{points:+d}".replace("-", "−")


def _worse(metric: Metric, before: float | None, after: float | None) -> float:
    """By how many points; 0 where one of the two is not known."""
    if before is None or after is None:
        return 0.0
    return after - before if metric.better == "lower" else before - after


def _mean(metric: Metric, cells: Cells) -> float | None:
    """Of an attack success rate that is a range, its upper bound."""
    known = [
        cell.asr_upper_bound if metric is ASR and cell.asr is None else cell[metric.name] for cell in cells.values()
    ]
    values = [value for value in known if value is not None]
    return fmean(values) if values else None


def _average(metric: Metric, cells: Cells) -> str:
    if metric is ASR and any(cell.asr is None for cell in cells.values()):
        low = fmean(cell.asr_lower_bound for cell in cells.values())
        return span(low, fmean(cell.asr_upper_bound for cell in cells.values()), ".0f")
    return shown(_mean(metric, cells))


def _short(cell: Cell) -> str:
    return span(cell.asr_lower_bound, cell.asr_upper_bound, ".0f") if cell.asr is None else shown(cell.asr)


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
