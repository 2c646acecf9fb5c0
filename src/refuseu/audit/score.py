"""Reads verdicts of the audit back: ``make audit-score FILE=verdicts.csv``, one file of each reviewer.

Accuracy is the share of accepted pairs among those accepted or rejected; unsure is counted apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import click
import pandas as pd

from refuseu.audit.sample import WAY_OUT, names_of
from refuseu.core.errors import UserError
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.results.markdown import NO_VALUE, Table, escape, shown, span
from refuseu.results.spreadsheet import written_cell
from refuseu.sources.sheets import MANGLED, read_rows
from refuseu.statistics.agreement import coefficients
from refuseu.statistics.rates import wilson
from refuseu.text.normal import composed, plain

COLUMNS = ["sample", "reviewer", "id", "verdict"]
VERDICTS = ("accept", "reject", "unsure")
CONFIDENCE = 0.95


@dataclass
class Review:
    """What one person judged."""

    path: Path
    reviewer: str = ""
    verdicts: dict[str, str] = field(default_factory=dict)
    """Verdict by id."""
    notes: dict[str, str] = field(default_factory=dict)
    """Note by id; a pair may have a note and no verdict."""


def read_sample(path: Path) -> dict[str, str]:
    """Language by id."""
    return {_key(row["id"]): row["lang"] for _, row in read_rows(path, ["id", "lang"], WAY_OUT)}


def _key(cell: str) -> str:
    return composed(written_cell(cell))


def read_review(path: Path, names: list[str], languages: dict[str, str], known: Sequence[str] = VERDICTS) -> Review:
    """One reviewer's file, of verdicts on what the sample of these ``names`` holds, whose languages by id are ``languages``.

    Raises:
        UserError: naming file and line, for anything that is not this reviewer's verdict, one of ``known``, on this sample.
    """
    review = Review(path)
    way_out = f"'Save verdicts' on the audit's page writes one with the columns {', '.join(COLUMNS)}"
    for line, row in read_rows(path, COLUMNS, way_out, optional=["note"]):
        row |= {name: _key(row[name]) for name in ("sample", "reviewer", "id", "note")}
        row["verdict"] = plain(row["verdict"])
        problem = _problem(row, names, languages, review, known)
        if problem:
            raise UserError(f"{path}: line {line}: {problem}")
        review.reviewer = row["reviewer"]
        if row["verdict"]:
            review.verdicts[row["id"]] = row["verdict"]
        if row["note"]:
            review.notes[row["id"]] = row["note"]
    if not review.verdicts:
        raise UserError(f"{path}: holds no verdict; save them on the audit's page")
    return review


def _problem(
    row: dict[str, str], names: list[str], languages: dict[str, str], before: Review, known: Sequence[str]
) -> str | None:
    for column, there in (("sample", names), ("id", languages)):
        if row[column] not in there and MANGLED.fullmatch(row[column]):
            return (
                f"{column} {row[column]!r} is what a spreadsheet made of a text that it took for a number or a formula; take the "
                "file as the page saved it, or open it with all columns as text"
            )
    if row["sample"] not in names:
        return f"is about sample {row['sample']!r}, the sample here is {names[0]}; find the one they judged"
    if not row["reviewer"]:
        return "names no reviewer; write the name into each line"
    if before.reviewer and not _same_person(row["reviewer"], before.reviewer):
        return f"is by {row['reviewer']!r}, those before by {before.reviewer!r}; one file of each reviewer"
    if row["id"] not in languages:
        return f"id {row['id']!r} is not in the sample"
    if row["id"] in before.verdicts or row["id"] in before.notes:
        return f"id {row['id']!r} is judged twice; keep one line"
    if row["verdict"] not in known and not (row["note"] and not row["verdict"]):
        return f"verdict {row['verdict']!r} is none of {', '.join(known)}"
    return None


def _same_person(one: str, other: str) -> bool:
    return plain(one) == plain(other)


def read_reviews(
    paths: Sequence[Path], names: list[str], languages: dict[str, str], known: Sequence[str] = VERDICTS
) -> list[Review]:
    """The files of several reviewers, each as ``read_review`` reads it.

    Raises:
        UserError: also when two files are by one reviewer.
    """
    reviews = [read_review(path, names, languages, known) for path in paths]
    _refuse_one_reviewer_twice(reviews)
    return reviews


def _refuse_one_reviewer_twice(reviews: list[Review]) -> None:
    """A person agrees with their own verdicts, which would be read as agreement of two."""
    for one, other in combinations(reviews, 2):
        if _same_person(one.reviewer, other.reviewer):
            raise UserError(
                f"{one.path} and {other.path} are both by {one.reviewer!r}; name one file of each reviewer, or, if these "
                "are two people, write who is who into the column 'reviewer'"
            )


def accuracy_table(verdicts: dict[str, str], languages: dict[str, str]) -> str:
    """Markdown: a line a language, and one for all."""
    frame = pd.DataFrame({"lang": [languages[key] for key in verdicts], "verdict": list(verdicts.values())})
    lines = []
    for lang in [*dict.fromkeys(languages.values()), "all"]:
        rows = frame if lang == "all" else frame[frame["lang"] == lang]
        accepted, rejected, unsure = (int((rows["verdict"] == verdict).sum()) for verdict in VERDICTS)
        judged = accepted + rejected
        low, high = wilson(accepted, judged, CONFIDENCE)
        share = shown(100 * accepted / judged if judged else None)
        interval = span(low, high) if judged else NO_VALUE
        lines.append([lang, str(accepted), str(rejected), str(unsure), share, interval])
    header = ["language", "accepted", "rejected", "unsure", "accuracy (%)", "95% interval"]
    return Table(header, lines).markdown()


def notes_table(review: Review) -> str:
    """Markdown: a line for each item that the reviewer wrote a note on, in the order of the file."""
    lines = [[key, review.verdicts.get(key, NO_VALUE), note] for key, note in review.notes.items()]
    return Table(["id", "verdict", "note"], lines, names=2, prose=True).markdown()


def agreement_table(
    one: dict[str, str], other: dict[str, str], languages: dict[str, str], known: Sequence[str] = VERDICTS
) -> str:
    """Markdown: agreement, Gwet's AC1 and Cohen's kappa of two reviewers over the items that both judged."""
    lines = []
    for lang in [*dict.fromkeys(languages.values()), "all"]:
        both = [key for key in one if key in other and lang in (languages[key], "all")]
        found = coefficients([[own[key] for key in both] for own in (one, other)], known)
        lines.append([lang, str(len(both)), shown(found.raw), shown(found.ac1, ".2f"), shown(found.kappa, ".2f")])
    return Table(["language", "judged by both", "same verdict (%)", "AC1", "Cohen's kappa"], lines).markdown()


def compared(reviews: Sequence[Review], languages: dict[str, str], known: Sequence[str] = VERDICTS) -> Iterator[str]:
    """Yield what to print of each two reviewers."""
    for one, other in combinations(reviews, 2):
        yield f"### {escape(one.reviewer)} and {escape(other.reviewer)}\n"
        yield f"{agreement_table(one.verdicts, other.verdicts, languages, known)}\n"
        if one.verdicts == other.verdicts:
            yield "Every verdict is the same, on the same items: make sure that neither file is a copy of the other.\n"


@click.command(help=__doc__)
@click.argument("verdicts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), default=Path("audit/sample.csv"), show_default=True)
def main(verdicts: tuple[Path, ...], sample: Path) -> None:
    tolerate_encodings()
    languages, names = read_sample(sample), names_of(sample)
    reviews = read_reviews(verdicts, names, languages)
    for review in reviews:
        say(f"### {escape(review.reviewer)}: {len(review.verdicts)} of {len(languages)} pairs judged\n")
        say(f"{accuracy_table(review.verdicts, languages)}\n")
        if review.notes:
            say(f"{notes_table(review)}\n")
    for text in compared(reviews, languages):
        say(text)


if __name__ == "__main__":
    main()
