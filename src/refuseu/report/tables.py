"""The paper's tables and those of the data behind them; shares are percentages."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refuseu.markdown import NO_VALUE, Table, shown
from refuseu.order import by_resource, main_configs
from refuseu.records import Row, read_json
from refuseu.taxonomy import HIGH_RESOURCE

STAGES = ("rainbow-teaming", "translate", "respond", "label", "split")
"""The stages that account for their rows."""

ALPHA = 0.05
"""A paired test is called significant below this, after Holm's correction."""


@dataclass(frozen=True)
class Numbers:
    """What the tables are made of, as the stages before wrote it."""

    metrics: dict[str, Row]
    """Each model's averages over languages; the first model is the base."""
    rows: list[Row]
    """One a (config, language)."""
    paired: list[Row]
    """One a (config, language): McNemar's test against the reference."""
    stages: dict[str, Row]
    """The books of each of ``STAGES``."""

    @classmethod
    def read(cls, metrics: Path, rows: Path, paired: Path, stages: Path) -> Self:
        """Read three files and the folder ``stages``, a file a stage."""
        books = {name: read_json(stages / f"{name}.json") for name in STAGES}
        return cls(read_json(metrics), read_json(rows), read_json(paired), books)

    @property
    def main(self) -> list[str]:
        return main_configs(list(self.metrics))

    @property
    def single(self) -> list[str]:
        return [name for name in self.metrics if name not in self.main]

    def by_language(self, config: str, column: str, languages: Sequence[str]) -> list[float | None]:
        """A column of ``rows`` in the order of ``languages``."""
        found = {row["language"]: row.get(column) for row in self.rows if row["config"] == config}
        return [found.get(lang) for lang in languages]


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else None


QUALITY: dict[str, tuple[str, str, str]] = {
    "language_consistency": ("consistency", ".1f", "share (%) of all answers in the question's language"),
    "over_refusal": ("over-refusal", ".1f", "share (%) of the benign twins that are refused"),
    "knowledge": ("knowledge", ".1f", "share (%) of the facts chosen rightly"),
    "fluency": ("fluency", ".2f", "mean score, 1 (worst) to 5"),
    "junk": (
        "junk",
        ".1f",
        "share (%) of the harmful questions whose verdict is unparsed, neither refusal nor compliance as a rule",
    ),
}
"""Averaged metric to its column's name, format and meaning, in the order of Table 2."""


def asr_table(numbers: Numbers, languages: list[str]) -> Table:
    """ASR (percent) of base and main configs: each language, average and worst."""
    ordered = by_resource(languages)
    return Table(
        ["model", *ordered, "average", "worst"],
        [[name, *map(shown, _asr_cells(numbers, name, ordered))] for name in numbers.main],
        lines=(1 + sum(lang in HIGH_RESOURCE for lang in ordered), 1 + len(ordered)),
    )


def _asr_cells(numbers: Numbers, config: str, languages: list[str]) -> list[float | None]:
    averages = numbers.metrics[config]
    return [*numbers.by_language(config, "asr", languages), averages.get("asr"), averages.get("asr_worst")]


def quality_table(numbers: Numbers, configs: list[str]) -> Table:
    """Averages over languages of everything but safety."""
    return Table(["model", *_quality_names()], [[name, *_quality_cells(numbers.metrics[name])] for name in configs])


def _quality_names() -> list[str]:
    return [name for name, _, _ in QUALITY.values()]


def _quality_cells(averages: Row) -> list[str]:
    return [shown(averages.get(key), form) for key, (_, form, _) in QUALITY.items()]


def table2(numbers: Numbers, languages: list[str]) -> Table:
    """The paper's Table 2: safety by language beside quality, base and main configs."""
    return _beside(asr_table(numbers, languages), quality_table(numbers, numbers.main))


def _beside(left: Table, right: Table) -> Table:
    """Two tables of the same models as one."""
    rows = [one + other[1:] for one, other in zip(left.rows, right.rows, strict=True)]
    return Table(left.header + right.header[1:], rows)


def single_table(numbers: Numbers) -> Table:
    """Averages of the single-language runs."""
    safety = [
        [name, *(shown(numbers.metrics[name].get(column)) for column in ("asr", "asr_worst"))]
        for name in numbers.single
    ]
    return _beside(Table(["model", "average", "worst"], safety), quality_table(numbers, numbers.single))


def unseen_table(numbers: Numbers, languages: list[str]) -> Table:
    """ASR (percent, mean over languages) on asks that training held and on those it never saw."""
    rows = []
    for name in numbers.main:
        means = [mean(numbers.by_language(name, column, languages)) for column in ("asr_seen", "asr_unseen")]
        rows.append([name, *map(shown, means), _difference(means[1], means[0])])
    return Table(["model", "seen asks", "unseen asks", "difference"], rows)


def _difference(one: float | None, other: float | None) -> str:
    return NO_VALUE if one is None or other is None else shown(one - other, "+.1f")


def paired_table(numbers: Numbers) -> Table:
    """Each model against the reference: languages with a significantly higher or lower ASR, and the mean difference."""
    by_config: dict[str, list[Row]] = {}
    for row in numbers.paired:
        by_config.setdefault(row["config"], []).append(row)
    rows = []
    for name, tests in by_config.items():
        found = [test["asr_difference"] for test in tests if test["p_holm"] < ALPHA]
        difference = mean(test["asr_difference"] for test in tests)
        counts = [sum(each > 0 for each in found), sum(each < 0 for each in found), len(tests)]
        rows.append([name, *map(str, counts), shown(difference, "+.1f")])
    return Table(["model", "higher", "lower", "languages", "mean difference"], rows)


def benign_table(numbers: Numbers, languages: list[str]) -> Table:
    """Over-refusal (percent) by language with and without benign pairs in the mix; no rows unless both were run."""
    ordered, compared = by_resource(languages), ("balanced", "balanced-no-benign")
    rows = []
    for name in compared if numbers.metrics.keys() >= set(compared) else ():
        cells = [*numbers.by_language(name, "over_refusal", ordered), numbers.metrics[name].get("over_refusal")]
        rows.append([name, *map(shown, cells)])
    return Table(["model", *ordered, "average"], rows)


def accounting_table(numbers: Numbers) -> Table:
    """The books of every stage; reasons by their counts."""
    rows = []
    for stage, books in numbers.stages.items():
        counted = sorted(books["rejected"].items(), key=lambda item: -item[1])
        reasons = "; ".join(f"{reason}: {count}" for reason, count in counted if count)
        total = sum(books["rejected"].values())
        rows.append([stage, *map(str, (books["rows_in"], books["rows_out"], total)), reasons or NO_VALUE])
    return Table(["stage", "rows in", "rows out", "rejected", "reasons"], rows, prose=True)


def acceptance_table(numbers: Numbers, languages: list[str]) -> Table:
    """Share (percent) of the pairs that the panel accepts, by language."""
    ordered, accepted = by_resource(languages), numbers.stages["label"]["acceptance_by_lang"]
    return Table(["", *ordered], [["accepted", *(shown(accepted.get(lang)) for lang in ordered)]])


def agreement_table(numbers: Numbers) -> Table:
    """Kappas of the judges on each item, and how often each could not tell."""
    rows = []
    for item, found in numbers.stages["label"]["judges"].items():
        kappas = [shown(found[name], ".2f") for name in ("cohens_kappa", "fleiss_kappa")]
        rows.append([item, *kappas, "; ".join(f"{judge}: {count}" for judge, count in found["unparsed"].items())])
    return Table(["item", "Cohen's kappa", "Fleiss' kappa", "unparsed"], rows, prose=True)


def parts_table(numbers: Numbers) -> Table:
    """Sizes of train, dev and test."""
    columns = ("rows", "questions", "unseen_questions", "cells")
    parts = numbers.stages["split"]["parts"]
    return Table(
        ["part", *(name.replace("_", " ") for name in columns)],
        [[part, *(shown(sizes.get(name), "d") for name in columns)] for part, sizes in parts.items()],
    )


def contamination_table(numbers: Numbers) -> Table:
    """What dev and test share with train: sums over languages, and the highest similarity of any pair of questions."""
    rows = []
    for part, by_language in numbers.stages["split"]["contamination"].items():
        found = list(by_language.values())
        sums = [str(sum(each[name] for each in found)) for name in ("exact", "near")]
        rows.append([part, *sums, shown(max((each["highest"] for each in found), default=None), ".2f")])
    return Table(["part", "exact", "near", "highest"], rows)
