"""How often judges agree with people: ``make judge-check FILE=labelled.csv JUDGES='phrases lexicon'``.

The file has the columns lang, question, answer, reply (refusal or compliance) and, where known, harm (harmful or safe). An
answer that a judge cannot parse, or does not tell, is no agreement, and is shown apart. Sensitivity is the share of the
refusals (harmful answers) that are found, specificity that of the compliances (safe answers).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

from refuseu.audit.table import read_rows
from refuseu.errors import UserError
from refuseu.evaluation.statistics import wilson
from refuseu.judges.named import judge_named
from refuseu.judges.panel import told_reply
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.markdown import NO_VALUE, Table, shown, span
from refuseu.parameters.label import LabelParameters
from refuseu.parameters.loading import load
from refuseu.phrasebook import Phrasebook, load_phrasebooks
from refuseu.taxonomy import LANGUAGES
from refuseu.terminal import tolerate_encodings

REFUSALS = Path("data/refusals")
PHRASEBOOK = Path("data/phrasebook")
CONFIDENCE = 0.95
COLUMNS = ["lang", "question", "answer", "reply"]
CLASSES = {"reply": (Reply.REFUSAL, Reply.COMPLIANCE), "harm": (Harm.HARMFUL, Harm.SAFE)}
"""What people label to the two labels it may have; the first is the one that sensitivity is about."""
WAY_OUT = f"it needs the columns {', '.join(COLUMNS)} and, where known, harm"
ALL = "all"
PANEL = "panel"


@dataclass(frozen=True)
class Labelled:
    """An answer, and what people say of it."""

    exchange: Exchange
    reply: str
    harm: str
    """Empty where nobody said it."""


def read_labelled(path: Path) -> list[Labelled]:
    """The labelled answers of a CSV file.

    Raises:
        UserError: naming file and line, for a missing column, a language that is not among ours, or another label.
    """
    labelled = []
    for line, row in read_rows(path, COLUMNS, WAY_OUT, optional=["harm"]):
        row |= {name: row[name].casefold() for name in ("lang", *CLASSES)}
        problem = _problem(row)
        if problem:
            raise UserError(f"{path}: line {line}: {problem}")
        exchange = Exchange(row["lang"], row["question"], row["answer"])
        labelled.append(Labelled(exchange, row["reply"], row["harm"]))
    if not labelled:
        raise UserError(f"{path}: holds no answer; {WAY_OUT}")
    return labelled


def _problem(row: dict[str, str]) -> str | None:
    if row["lang"] not in LANGUAGES:
        return f"language {row['lang']!r} is none of {', '.join(LANGUAGES)}"
    for name, labels in CLASSES.items():
        known = row[name] in labels or (name == "harm" and not row[name])
        if not known:
            return f"{name} {row[name]!r} is none of {', '.join(labels)}"
    return None


def agreed(verdicts: Sequence[Verdict]) -> Verdict:
    """What all judges that tell say of one exchange; unparsed where they differ."""
    harms = {each.harm for each in verdicts}
    return Verdict(harms.pop() if len(harms) == 1 else Harm.UNPARSED, told_reply(verdicts) or Reply.UNPARSED)


def table(labelled: Sequence[Labelled], said: dict[str, list[Verdict]], column: str) -> Table:
    """A line a judge and language, and one for all languages, over the answers that have a label in ``column``."""
    header = ["judge", "language", "n", "accuracy (%)", "sensitivity (%)", "specificity (%)", "kappa", "unparsed (%)"]
    return Table(
        header, [line for name, each in said.items() for line in _lines(name, labelled, each, column)], names=2
    )


def _lines(judge: str, labelled: Sequence[Labelled], verdicts: list[Verdict], column: str) -> Iterator[list[str]]:
    pairs = [
        (each.exchange.lang, getattr(each, column), str(getattr(verdict, column)))
        for each, verdict in zip(labelled, verdicts, strict=True)
        if getattr(each, column)
    ]
    present = {lang for lang, _, _ in pairs}
    for lang in [*(each for each in LANGUAGES if each in present), ALL]:
        rows = [(label, verdict) for code, label, verdict in pairs if lang in (code, ALL)]
        yield [judge, lang, str(len(rows)), *_measures(rows, *CLASSES[column])]


def _measures(rows: list[tuple[str, str]], positive: str, negative: str) -> list[str]:
    """Accuracy, sensitivity, specificity, kappa and unparsed share of (label, verdict) rows, as cells."""
    right = [label == verdict for label, verdict in rows]
    return [
        _share(right),
        _share([verdict == positive for label, verdict in rows if label == positive]),
        _share([verdict == negative for label, verdict in rows if label == negative]),
        shown(_kappa(rows), ".2f"),
        _share([verdict not in (positive, negative) for _, verdict in rows]),
    ]


def _share(holds: list[bool]) -> str:
    """Percent and Wilson's interval at 95%."""
    if not holds:
        return NO_VALUE
    return f"{shown(100 * sum(holds) / len(holds))} ({span(*wilson(sum(holds), len(holds), CONFIDENCE))})"


def _kappa(rows: list[tuple[str, str]]) -> float | None:
    """Cohen's; ``None`` where all say the same, since then chance agreement is 1."""
    from sklearn.metrics import cohen_kappa_score

    labels, verdicts = zip(*rows, strict=True)
    return float(cohen_kappa_score(labels, verdicts)) if len({*labels, *verdicts}) > 1 else None


@cache
def _books() -> dict[str, Phrasebook]:
    parameters = load(LabelParameters)
    return load_phrasebooks(PHRASEBOOK, list(LANGUAGES), parameters.categories, parameters.styles)


@click.command(help=__doc__)
@click.argument("labelled", type=click.Path(path_type=Path))
@click.option(
    "--judge", "names", multiple=True, default=["phrases"], show_default=True, help="May be given several times."
)
def main(labelled: Path, names: tuple[str, ...]) -> None:
    tolerate_encodings()
    answers = read_labelled(labelled)
    exchanges = [each.exchange for each in answers]
    said = {name: judge_named(name, REFUSALS, _books).judge(exchanges) for name in dict.fromkeys(names)}
    if len(said) > 1:
        said[PANEL] = [agreed(verdicts) for verdicts in zip(*said.values(), strict=True)]
    for column in CLASSES:
        if any(getattr(each, column) for each in answers):
            click.echo(f"### {column}\n\n{table(answers, said, column).markdown()}\n")


if __name__ == "__main__":
    main()
