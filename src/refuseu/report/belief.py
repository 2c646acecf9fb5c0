"""The tables of "How far to believe this": what the numbers of a run can tell apart, and what they cannot.

Nothing here is a sentence about one run: what is said of a rate or a model follows from the numbers by a rule that stands beside
the table. Averages are percentages, differences are points.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from refuseu.report.tables import mean, ranked_value, worst_cell
from refuseu.results.markdown import NO_VALUE, Table, escape, shown, span
from refuseu.results.metrics import BY_NAME, Metric
from refuseu.results.outputs import (
    AgreementRow,
    Difference,
    DifferenceRow,
    DisagreementRow,
    Evaluation,
    LabelAccount,
    SearchRow,
    SplitAccount,
    UnseenRow,
)
from refuseu.statistics.estimates import average

if TYPE_CHECKING:
    import pandas as pd

HEADLINE_RATES = ("asr", "over_refusal", "language_consistency")
"""The rates whose differences stand first."""

CANNOT = (
    "**Other machines.** These are the results of one processor. Processors of different makers differ in the last bits of "
    "trained weights, and so in a few answers; `make verify` says whether a run of yours differs in a conclusion.",
    "**Language models.** The miniature is a model of the method. Its base, its judges and its questions come from one "
    "phrasebook, so its rates are not those of any model that people use; only the order of the training mixes is compared "
    "with the paper's.",
    "**Harm.** Judges are programs, not people. An answer that they call harmful was not read by anybody, unless a table above "
    "gives the rates as corrected by people's labels.",
    "**Other settings.** An interval covers other questions of the kind asked and, where a model was trained more than once, "
    "other seeds. It covers no other split, no other settings of training, no other judges and no other languages.",
)
"""What no run of this project can show; said in every report, Markdown."""


def differences_table(differences: Sequence[DifferenceRow], models: Sequence[str]) -> Table:
    """Each of ``models`` less the reference in the headline rates, and what would have been noticed."""
    return Table(
        ["model", "rate", "difference", "interval", "seed SD", "smallest detectable", "told apart"],
        [[row.model, heading(row.rate), *_cells(row)] for row in headline(differences, models)],
        names=2,
        notes=(*too_close(differences, models), *_clusters(differences)),
    )


def _cells(row: Difference) -> list[str]:
    """The difference, its interval, its standard deviation over seeds, what would have been noticed, and whether it is one."""
    numbers = [shown(row.seed_sd), shown(row.smallest_detectable)]
    return [shown(row.difference, "+.1f"), interval(row), *numbers, "yes" if row.told_apart else "no"]


def interval(row: Difference) -> str:
    """Both ends of the interval with their signs."""
    return f"[{shown(row.low, '+.1f')}, {shown(row.high, '+.1f')}]"


def _clusters(rows: Sequence[Difference]) -> Iterator[str]:
    """What the intervals of a table are clustered by."""
    if rows:
        yield f"intervals are clustered by {' or '.join(dict.fromkeys(row.clusters for row in rows))}"


def all_differences_table(differences: Sequence[DifferenceRow]) -> Table:
    """The ASR of every model less the reference's, beside the same over the questions whose outcomes are all known."""
    rows = [row for row in differences if row.rate == "asr"]
    return Table(
        ["model", "difference", "interval", "seed SD", "smallest detectable", "told apart", "complete cases"],
        [[row.model, *_cells(row), shown(row.complete_cases, "+.1f")] for row in rows],
        notes=tuple(_clusters(rows)),
    )


def unseen_table(unseen: Sequence[UnseenRow], models: Sequence[str]) -> Table:
    """ASR and over-refusal of ``models`` on unseen behaviors and wordings beside the seen ones."""
    rows = [row for row in unseen if row.model in models]
    return Table(
        [
            "model",
            "rate",
            "unseen",
            "seen (%)",
            "unseen (%)",
            "difference",
            "interval",
            "smallest detectable",
            "told apart",
        ],
        [
            [
                row.model,
                heading(row.rate),
                UNSEEN[row.unseen_of],
                shown(row.seen),
                shown(row.unseen),
                *_without_seeds(row),
            ]
            for row in sorted(rows, key=lambda row: (row.rate, row.unseen_of, models.index(row.model)))
        ],
        names=3,
        notes=tuple(_clusters(rows)),
    )


UNSEEN = {"behavior": "behaviors", "frame": "wordings"}


def _without_seeds(row: Difference) -> list[str]:
    difference, ends, _, *others = _cells(row)
    return [difference, ends, *others]


def judges_table(agreement: Sequence[AgreementRow], models: Sequence[str]) -> Table:
    """How the judges of the panel differ on each of ``models``, over its languages."""
    rows = []
    for rate in dict.fromkeys(row.rate for row in agreement):
        for model in models:
            own = [row for row in agreement if (row.rate, row.model) == (rate, model)]
            if own:
                least = min(own, key=lambda row: row.agreement)
                ends = span(fmean(row.lowest for row in own), fmean(row.highest for row in own))
                flags = [
                    sum(flag)
                    for flag in zip(
                        *((each.judges_apart, each.low_agreement, each.panel_outside) for each in own), strict=True
                    )
                ]
                ac1 = min((row.ac1 for row in own if row.ac1 is not None), default=None)
                agreed = f"{shown(least.agreement)} {least.language}"
                rows.append(
                    [
                        model,
                        heading(rate),
                        shown(fmean(row.panel for row in own)),
                        ends,
                        agreed,
                        shown(ac1, ".2f"),
                        *map(str, flags),
                    ]
                )
    header = ["model", "rate", "panel", "judges", "least agreement", "least AC1", "apart", "low agreement", "outside"]
    return Table(header, rows, names=2)


def judges_by_language_table(agreement: Sequence[AgreementRow], models: Sequence[str]) -> Table:
    """The ASR of each judge for each of ``models`` in each language, and how far the judges agree."""
    rows = [row for row in agreement if row.rate == "asr" and row.model in models]
    judges = list(dict.fromkeys(judge for row in rows for judge in row.by_judge))
    return Table(
        ["model", "language", "panel", *judges, "agreement", "AC1", "kappa", "flags"],
        [
            [
                *(row.model, row.language, shown(row.panel)),
                *(shown(row.by_judge.get(judge)) for judge in judges),
                *(shown(row.agreement), shown(row.ac1, ".2f"), shown(row.kappa, ".2f")),
                ", ".join(_flags(row)) or NO_VALUE,
            ]
            for row in rows
        ],
        names=2,
        prose=True,
    )


def _flags(row: AgreementRow) -> Iterator[str]:
    if row.judges_apart:
        yield "apart"
    if row.low_agreement:
        yield "low agreement"
    if row.panel_outside:
        yield "outside"


def disagreements_table(found: Sequence[DisagreementRow]) -> Table:
    """The cells in which judges agree least, with the ids of an answer of each."""
    return Table(
        ["model", "language", "seed", "question", "verdicts", "panel", "agreement", "disputed", "alike"],
        [
            [
                *(row.model, row.language, str(row.seed), row.question_id),
                "; ".join(f"{judge}: {verdict}" for judge, verdict in row.verdicts.items()),
                *(row.panel, shown(row.unanimous), str(row.disputed), str(row.alike)),
            ]
            for row in found
        ],
        names=6,
    )


def base_table(label: LabelAccount, split: SplitAccount, languages: Sequence[str]) -> Table:
    """The share (percent) of harmful questions that the base answered harmfully, from all questions to those of the test."""
    steps = {
        "all questions": label.complied,
        "complete in all languages": split.complied.get("complete", {}),
        "not found by the search": split.complied.get("testable", {}),
        "in the test": split.complied.get("test", {}),
    }
    rows = [
        [step, *(shown(shares.get(lang)) for lang in languages), shown(mean(shares.values()))]
        for step, shares in steps.items()
        if shares
    ]
    return Table(["questions", *languages, "average"], rows)


def yield_table(label: LabelAccount, split: SplitAccount, languages: Sequence[str]) -> Table:
    """How many harmful questions each filter leaves, by language."""
    harmful, left = label.filters.get("harmful", {}), split.by_language
    counts = [
        *(
            (STEPS[step], [harmful.get(lang, {}).get(step) for lang in languages])
            for step in ("asked", "question", "language")
            if harmful
        ),
        *((STEPS[step], [left.get(lang, {}).get(step) for lang in languages]) for step in OF_SPLIT if left),
    ]
    return Table(
        ["step", *languages],
        [[step, *(NO_VALUE if count is None else str(count) for count in found)] for step, found in counts],
    )


OF_SPLIT = ("complete", "testable", "test", "dev", "held_out", "for_training", "accepted", "train")
STEPS = {
    "asked": "answered by the base",
    "question": "called harmful by the panel",
    "language": "in its language",
    "complete": "complete in all languages, with its twin",
    "testable": "written before the search, and so for dev and test",
    "test": "→ test",
    "dev": "→ dev",
    "held_out": "→ kept out of training",
    "for_training": "→ for training",
    "accepted": "of these: whole pair accepted",
    "train": "of these: as many in each language (train)",
}
"""The steps from a question to the parts, in the words of the table."""


def headline(differences: Iterable[DifferenceRow], models: Sequence[str]) -> list[DifferenceRow]:
    """Those of ``models`` in the headline rates, rate after rate."""
    found = [row for row in differences if row.rate in HEADLINE_RATES and row.model in models]
    return sorted(found, key=lambda row: (HEADLINE_RATES.index(row.rate), models.index(row.model)))


def too_close(differences: Sequence[DifferenceRow], models: Sequence[str]) -> Iterator[str]:
    """A sentence for each rate in which configs are closer to the reference than what can be told apart."""
    for rate in HEADLINE_RATES:
        close = [row for row in headline(differences, models) if row.rate == rate and not row.told_apart]
        if close:
            named = ", ".join(f"`{escape(row.model)}` ({shown(row.difference, '+.1f')}; {_why(row)})" for row in close)
            yield f"**not told apart** from `{escape(close[0].reference)}` in {heading(rate)}: {named}"


def _why(row: Difference) -> str:
    """Why a difference is not told apart from 0."""
    closer = abs(row.difference) < row.smallest_detectable
    return (
        f"from {shown(row.smallest_detectable)} on it would be noticed"
        if closer
        else f"its interval is {interval(row)}"
    )


def heading(rate: str) -> str:
    """What tables call the rate."""
    metric = BY_NAME[rate]
    return metric.heading or metric.gate or metric.name


def spread_table(evaluation: Evaluation, differences: Sequence[DifferenceRow]) -> Table:
    """Each rate's spread over the main models beside what a comparison notices, and what follows for the rate."""
    rows = []
    rates = dict.fromkeys(row.rate for row in differences)
    for rate in [metric.name for metric in evaluation.telling(map(BY_NAME.__getitem__, rates))]:
        noticed = median(row.smallest_detectable for row in differences if row.rate == rate)
        averages = {name: evaluation.averages[name][rate] for name in evaluation.main}
        known = [value for value in averages.values() if value is not None]
        if known:
            reference = averages.get(next(row.reference for row in differences if row.rate == rate))
            said = ", ".join(_verdicts(BY_NAME[rate], reference, max(known) - min(known), noticed))
            numbers = (min(known), max(known), max(known) - min(known), noticed)
            rows.append([heading(rate), *map(shown, numbers), said or NO_VALUE])
    return Table(["rate", "lowest", "highest", "spread", "smallest detectable", "therefore"], rows, prose=True)


def _verdicts(metric: Metric, reference: float | None, spread: float, noticed: float) -> Iterator[str]:
    """What a rate cannot show, by the rules that stand below the table."""
    if spread < noticed:
        yield "idle"
    room = None if reference is None else reference if metric.better == "lower" else 100 - reference
    if room is not None and room < noticed:
        yield "saturated"


def worst_cells_table(evaluation: Evaluation) -> Table:
    """The worst cell (model, language) of each rate among the trained main models, and the base's worst language."""
    base, *trained = evaluation.main
    rows = []
    for metric in evaluation.telling(BY_NAME[name] for name in WORST):
        cells = [
            (value, row)
            for name in trained
            for row in evaluation.of(name)
            if (value := ranked_value(row, metric)) is not None
        ]
        if cells:
            _, worst = (max if metric.better == "lower" else min)(cells, key=lambda cell: cell[0])
            rows.append(
                [
                    heading(metric.name),
                    worst.model,
                    worst_cell([worst], metric),
                    worst_cell(evaluation.of(base), metric),
                ]
            )
    return Table(["rate", "model", "worst", f"worst of {base}"], rows, names=2)


WORST = ("asr", "unparsed_rate", "over_refusal", "language_consistency", "line_pass_rate", "knowledge", "fluency")
"""The rates whose worst cells are shown."""


def search_said(search: Sequence[SearchRow]) -> str | None:
    """From which iteration on the search's coverage tells nothing any more; ``None`` where it still rises."""
    full = next((row.iteration for row in search if row.coverage >= 1), None)
    if full is None or full == search[-1].iteration:
        return None
    return (
        f"The search filled every cell by iteration {full} of {search[-1].iteration}: from then on **coverage** is idle, and "
        "only the quality of what fills the cells can change."
    )


@dataclass(frozen=True)
class Size:
    """What the ASR of one model rests on, in a part of the test."""

    part: str
    questions: int
    behaviors: int
    frames: int
    languages: int
    seeds: int
    answers: int
    """To all of the questions, in all languages, of all seeds."""
    effective: float | None
    """As many independent answers would give the same standard error; ``None`` where nothing varies."""


CONFIDENCE = 0.95
"""Of an interval that nobody is shown."""
PARTS = {
    "whole test": {},
    "unseen behaviors": {"held_out": True},
    "unseen wordings": {"held_out_frame": True},
    "unseen behaviors in unseen wordings": {"held_out": True, "held_out_frame": True},
}
"""Parts of the test, by what holds for their questions."""


def sizes(outcomes: "pd.DataFrame", model: str) -> list[Size]:
    """The sizes of the parts of the test, by the answers of ``model``; parts without questions are left out."""
    rows = outcomes[(outcomes["rate"] == "asr") & (outcomes["model"] == model)]
    found = []
    for part, holds in PARTS.items():
        own = rows
        for column, value in holds.items():
            own = own[own[column].eq(value).fillna(False).astype(bool)]
        if len(own):
            found.append(_size(part, own))
    return found


def _size(part: str, rows: "pd.DataFrame") -> Size:
    columns = ("question_id", "behavior_id", "frame_id", "lang", "seed")
    questions, behaviors, frames, languages, seeds = (int(rows[column].nunique()) for column in columns)
    estimate, effective = average(rows, CONFIDENCE), None
    if estimate and estimate.se:
        share = estimate.value / 100
        effective = share * (1 - share) / (estimate.se / 100) ** 2
    return Size(part, questions, behaviors, frames, languages, seeds, len(rows), effective)


def sizes_table(found: Sequence[Size]) -> Table:
    """How much the ASR of the reference rests on."""
    return Table(
        ["part", "questions", "behaviors", "wordings", "languages", "seeds", "answers", "worth"],
        [
            [
                each.part,
                *map(str, (each.questions, each.behaviors or NO_VALUE, each.frames or NO_VALUE)),
                *map(str, (each.languages, each.seeds, each.answers)),
                shown(each.effective, ".0f"),
            ]
            for each in found
        ],
    )
