"""The paper's tables, as Markdown for ``report.md`` and as text for the terminal.

Shares are percentages with one decimal; a value that does not exist is a dash. Text that came from data (config names,
reasons, judges) is escaped, so that it shows as it is.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refuseu.figures import FIGURES, Row, by_resource, main_configs
from refuseu.records import atomic, read_json
from refuseu.taxonomy import HIGH_RESOURCE

STAGES = ("rainbow-teaming", "translate", "respond", "label", "split")
"""The stages that account for their rows."""

ALPHA = 0.05
"""A paired test is called significant below this, after Holm's correction."""

NO_VALUE = "–"


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


@dataclass(frozen=True)
class Table:
    """Cells as they are read, not yet escaped; the first column is text, the others are numbers unless ``prose``."""

    header: list[str]
    rows: list[list[str]]
    prose: bool = False
    """The last column is text too."""
    lines: tuple[int, ...] = ()
    """Columns that ``text`` draws a vertical line before."""

    def markdown(self) -> str:
        align = [":---", *("---:" for _ in self.header[1:])]
        align[-1] = ":---" if self.prose else align[-1]
        return "\n".join(_pipes(cells) for cells in (map(escape, self.header), align, *self._escaped()))

    def _escaped(self) -> Iterator[list[str]]:
        return ([escape(cell) for cell in row] for row in self.rows)

    def text(self) -> str:
        """Aligned columns, two blanks apart, for a fixed-width font."""
        lines = [[printable(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(self._aligned(line, widths) for line in lines)

    def _aligned(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        parts = [cells[0].ljust(widths[0])]
        for column in range(1, len(cells)):
            parts.append(" | " if column in self.lines else "  ")
            parts.append(cells[column].rjust(widths[column]))
        return "".join(parts)


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """``text`` such that Markdown shows it as it is, on one line of a table's cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", printable(text))


def printable(text: str) -> str:
    """``text`` on one line and without control characters, which a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


def shown(value: float | None, form: str = ".1f") -> str:
    """A number in the format ``form``; a dash for none."""
    return NO_VALUE if value is None or math.isnan(value) else format(value, form)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else None


QUALITY: dict[str, tuple[str, str, str]] = {
    "language_consistency": ("consistency", ".1f", "share (%) of all answers in the question's language"),
    "over_refusal": ("over-refusal", ".1f", "share (%) of the benign twins that are refused"),
    "knowledge": ("knowledge", ".1f", "share (%) of the facts chosen rightly"),
    "fluency": ("fluency", ".2f", "mean score, 1 (worst) to 5"),
    "junk": ("junk", ".1f", "share (%) of the harmful questions whose answer neither refuses nor complies"),
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


@dataclass(frozen=True)
class Section:
    title: str
    table: Callable[[Numbers, list[str]], Table]
    notes: tuple[str, ...]
    """What each column is, a line each; trusted Markdown."""


ASR_NOTES = (
    "**average**, **worst** (ASR, %): mean over languages, and the language with the highest ASR",
    *(f"**{name}**: {meaning}; mean over languages" for name, _, meaning in QUALITY.values()),
)

SAFETY = (
    Section(
        "Table 2: safety and quality",
        table2,
        (
            "**language code** (ASR, %): share of the language's harmful questions that are answered harmfully",
            *ASR_NOTES,
        ),
    ),
    Section(
        "Single-language runs",
        lambda numbers, _: single_table(numbers),
        ("**model**: `only-<language>` trains on that language alone", *ASR_NOTES),
    ),
    Section(
        "Seen and unseen asks",
        unseen_table,
        (
            "**seen asks**: ASR (%) on test questions whose ask also stands in training, in other words; mean over languages",
            "**unseen asks**: ASR (%) on test questions whose ask training never held",
            "**difference**: unseen less seen, in points",
        ),
    ),
    Section(
        "Paired tests",
        lambda numbers, _: paired_table(numbers),
        (
            "**higher**, **lower**: languages with an ASR significantly above or below the reference's",
            f"**significantly**: exact McNemar test on the same questions, p < {ALPHA} after Holm's correction",
            "**languages**: languages tested",
            "**mean difference**: ASR less the reference's, in points; mean over languages",
        ),
    ),
    Section(
        "Benign pairs and over-refusal",
        benign_table,
        (
            "**language code**: over-refusal, the share (%) of the language's benign twins that are refused",
            "**average**: mean over languages; `balanced-no-benign` trains on the paper's mix, which holds no benign pairs",
        ),
    ),
)
DATA = (
    Section(
        "Rows of every stage",
        lambda numbers, _: accounting_table(numbers),
        (
            "**rows in**: candidates of the search; questions times languages in `translate`; rows of the stage before",
            "**rows out**, **rejected**: together they are the rows in",
            "**reasons**: rejected rows by reason",
        ),
    ),
    Section(
        "Pairs accepted by the panel",
        acceptance_table,
        ("**language code**: share (%) of the language's pairs that the stage `label` keeps",),
    ),
    Section(
        "Agreement of the judges",
        lambda numbers, _: agreement_table(numbers),
        (
            "**item**: what the judges saw",
            "**Cohen's kappa**: of the two judges of the panel; 1 is full agreement, 0 is chance",
            "**Fleiss' kappa**: of the panel and the adjudicator",
            "**unparsed**: verdicts that could not be told, by judge",
        ),
    ),
    Section(
        "Parts",
        lambda numbers, _: parts_table(numbers),
        (
            "**rows**: questions, harmful and benign, in all languages",
            "**questions**: harmful questions, each counted once over its languages",
            "**unseen questions**: those of an ask that training never held",
            "**cells**: category x style cells with a question",
        ),
    ),
    Section(
        "Contamination",
        lambda numbers, _: contamination_table(numbers),
        (
            "**exact**: questions that also stand in train, case and white space apart; sum over languages",
            "**near**: pairs of questions whose similarity reaches `split.near_duplicate`; sum over languages",
            "**highest**: greatest Jaccard similarity (character 5-grams, 0-1) to a question of train in any language",
        ),
    ),
)


def markdown(numbers: Numbers, languages: list[str], figures: Sequence[str], folder: str) -> str:
    """The whole report; ``figures`` are file names below ``folder``, which is relative to the report."""
    blocks = [
        "# Results",
        "This page is generated by the report stage; edit nothing here. `dvc repro report` makes it anew.",
        _about(numbers, languages),
        "## Tables",
        *_sections(SAFETY, numbers, languages),
        "## Figures",
        *(_figure(name, folder) for name in figures),
        "## The data behind",
        *_sections(DATA, numbers, languages),
    ]
    return "\n\n".join(blocks) + "\n"


def _about(numbers: Numbers, languages: list[str]) -> str:
    """How many questions the shares rest on, and the order of the languages."""
    counts = sorted({row["n"] for row in numbers.rows})
    questions = "–".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]])) if counts else "no"
    high = ", ".join(lang for lang in languages if lang in HIGH_RESOURCE)
    reference = ", ".join(escape(name) for name in dict.fromkeys(row["reference"] for row in numbers.paired))
    return (
        f"ASR is the attack success rate in percent, on {questions} harmful test questions in each language. "
        f"High-resource languages ({high or 'none'}) stand before the others. `base` is the model before alignment; the "
        f"other models are the configs of `train.configs`. Reference of the paired tests: {reference or NO_VALUE}. "
        f"{NO_VALUE}: there is no such value."
    )


def _sections(sections: Sequence[Section], numbers: Numbers, languages: list[str]) -> Iterator[str]:
    """Heading, table and notes of each section; nothing for a table without rows."""
    for section in sections:
        table = section.table(numbers, languages)
        if table.rows:
            yield f"### {section.title}"
            yield table.markdown()
            yield "\n".join(f"- {note}" for note in section.notes)


def _figure(name: str, folder: str) -> str:
    drawing = FIGURES[name]
    return f"### {drawing.title}\n\n![{drawing.title}]({folder}/{name})\n\n{drawing.caption}"


def terminal(numbers: Numbers, languages: list[str]) -> str:
    """Table 2 as text, in two blocks that fit a terminal."""
    return "\n\n".join(
        [
            "ASR (%) by language, lower is safer",
            asr_table(numbers, languages).text(),
            "Averages over languages (%; fluency 1-5)",
            quality_table(numbers, numbers.main).text(),
        ]
    )


def write_text(text: str, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
