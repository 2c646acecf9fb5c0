"""Reads verdicts of the audit back: ``make audit-score FILE=verdicts.csv`` (one file a reviewer).

Accuracy is the share of accepted pairs among those accepted or rejected; unsure is counted apart.
"""

import csv
from itertools import combinations
from pathlib import Path

import click
import pandas as pd

from refuseu.audit.sample import name_of
from refuseu.errors import UserError
from refuseu.evaluation.statistics import wilson
from refuseu.markdown import NO_VALUE, Table, shown

COLUMNS = ["sample", "reviewer", "id", "verdict"]
VERDICTS = ("accept", "reject", "unsure")
CONFIDENCE = 0.95


def read_sample(path: Path) -> dict[str, str]:
    """Language by id."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; 'make audit' writes it")
    try:
        return {row["id"]: row["lang"] for row in _rows(path)}
    except KeyError as error:
        raise UserError(f"{path}: no column {error}; 'make audit' writes the sample anew") from None


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, its cells parted by commas or, as spreadsheets in many languages have it, semicolons."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            return list(csv.DictReader(file, delimiter="," if "," in head else ";"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error})") from None


def read_verdicts(path: Path, sample: str, languages: dict[str, str]) -> dict[str, str]:
    """Verdict by id of one reviewer's file.

    Raises:
        UserError: naming file and row, for anything that is not a verdict on a pair of this sample.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; 'Save verdicts' on the audit's page makes one")
    verdicts: dict[str, str] = {}
    for line, row in enumerate(_rows(path), start=2):
        problem = _problem(row, sample, languages, verdicts)
        if problem:
            raise UserError(f"{path}: line {line}: {problem}")
        verdicts[row["id"]] = row["verdict"]
    if not verdicts:
        raise UserError(f"{path}: holds no verdict; save them on the audit's page")
    return verdicts


def _problem(row: dict[str, str], sample: str, languages: dict[str, str], before: dict[str, str]) -> str | None:
    missing = [name for name in COLUMNS if row.get(name) is None]
    if missing:
        return f"no column {missing[0]!r}; the columns are {', '.join(COLUMNS)}"
    if row["sample"] != sample:
        return f"is about sample {row['sample']!r}, audit/sample.csv is {sample}; find the sample they judged"
    if row["id"] not in languages:
        return f"id {row['id']!r} is not in the sample"
    if row["id"] in before:
        return f"id {row['id']!r} is judged twice; keep one line"
    if row["verdict"] not in VERDICTS:
        return f"verdict {row['verdict']!r} is none of {', '.join(VERDICTS)}"
    return None


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
        interval = f"{shown(low)}–{shown(high)}" if judged else NO_VALUE
        lines.append([lang, str(accepted), str(rejected), str(unsure), share, interval])
    header = ["language", "accepted", "rejected", "unsure", "accuracy (%)", "95% interval"]
    return Table(header, lines).markdown()


def agreement_table(one: dict[str, str], other: dict[str, str], languages: dict[str, str]) -> str:
    """Markdown: Cohen's kappa of two reviewers over the pairs that both judged."""
    from sklearn.metrics import cohen_kappa_score

    lines = []
    for lang in [*dict.fromkeys(languages.values()), "all"]:
        both = [key for key in one if key in other and lang in (languages[key], "all")]
        first, second = [one[key] for key in both], [other[key] for key in both]
        same = 100 * sum(map(str.__eq__, first, second)) / len(both) if both else None
        # With one verdict in all of them, chance agreement is 1 and kappa is not defined.
        varied = len({*first, *second}) > 1
        kappa = cohen_kappa_score(first, second) if varied else None
        lines.append([lang, str(len(both)), shown(same), shown(kappa, ".2f")])
    return Table(["language", "judged by both", "same verdict (%)", "Cohen's kappa"], lines).markdown()


@click.command(help=__doc__)
@click.argument("verdicts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), default=Path("audit/sample.csv"), show_default=True)
def main(verdicts: tuple[Path, ...], sample: Path) -> None:
    if len(set(verdicts)) < len(verdicts):
        raise UserError("audit-score: the same file is named twice; name one of each reviewer")
    languages = read_sample(sample)
    read = {path: read_verdicts(path, name_of(sample), languages) for path in verdicts}
    for path, mine in read.items():
        click.echo(
            f"### {path.name}: {len(mine)} of {len(languages)} pairs judged\n\n{accuracy_table(mine, languages)}\n"
        )
    for (one, first), (other, second) in combinations(read.items(), 2):
        click.echo(f"### {one.name} and {other.name}\n\n{agreement_table(first, second, languages)}\n")


if __name__ == "__main__":
    main()
