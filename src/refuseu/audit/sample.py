"""Draws the pairs that people look at: ``make audit``.

The sample is of what is published (train and test of ``data/split``), stratified in each language over category, style and
kind, and written as CSV and as one page that works offline.
"""

import csv
import hashlib
import io
import random
from pathlib import Path

import click
import pandas as pd

from refuseu.audit.page import page
from refuseu.commands.terminal import tolerate_encodings
from refuseu.core.errors import UserError
from refuseu.core.files import write_text
from refuseu.core.schema import read_table
from refuseu.tables.schemas import PART

COLUMNS = ["id", "lang", "kind", "category", "style", "question", "chosen", "rejected"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that starts with one of these is run by spreadsheets."""


def draw(pairs: pd.DataFrame, a_language: int, seed: int) -> pd.DataFrame:
    """``a_language`` rows of each language (all, where there are fewer), from every stratum in turn."""
    pairs = pairs.sort_values(["lang", "question_id"])
    chosen = [
        index
        for lang, rows in pairs.groupby("lang", sort=True)
        for index in _in_turn(rows, a_language, random.Random(f"{seed}-{lang}"))
    ]
    drawn = pairs.loc[chosen].assign(id=pairs["question_id"] + "-" + pairs["lang"], question=pairs["text"])
    return drawn[COLUMNS].reset_index(drop=True)


def _in_turn(rows: pd.DataFrame, count: int, rng: random.Random) -> list[int]:
    """Positions of ``count`` rows: one of each stratum, strata in a random order, until there are enough."""
    strata = [list(group) for group in rows.groupby(["category", "style", "kind"], sort=True).groups.values()]
    for stratum in strata:
        rng.shuffle(stratum)
    rng.shuffle(strata)
    rounds = range(max(map(len, strata)))
    ordered = [stratum[turn] for turn in rounds for stratum in strata if turn < len(stratum)]
    return ordered[:count]


def harmless_cell(text: str) -> str:
    """``text`` with an apostrophe before what a spreadsheet would run."""
    return f"'{text}" if text.startswith(FORMULA) else text


def as_csv(sample: pd.DataFrame) -> str:
    """The sample as spreadsheets read it: with a byte order mark, and no cell that they would run."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([harmless_cell(str(cell)) for cell in row] for row in sample.itertuples(index=False))
    return f"\ufeff{text.getvalue()}"


def name_of(content: bytes) -> str:
    """The name of a sample, by which verdicts say what they are about: 12 hex digits of the SHA-256 of its file."""
    return hashlib.sha256(content).hexdigest()[:12]


def _keep_what_was_judged(path: Path, content: bytes) -> None:
    """Refuse to write ``content`` over another sample: verdicts on that one could not be read any more."""
    if path.is_file() and (there := path.read_bytes()) != content:
        raise UserError(
            f"{path}: holds another sample ({name_of(there)}), which people may have judged; "
            f"OPTIONS='--out {path.parent / name_of(content)}' puts the new one beside it, OPTIONS=--force in its place"
        )


@click.command(help=__doc__)
@click.option("--split", type=click.Path(path_type=Path), default=Path("data/split"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("audit"), show_default=True)
@click.option("--a-language", type=click.IntRange(min=1), default=100, show_default=True, help="Pairs a language.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--force", is_flag=True, help="Replace another sample that is there.")
def main(split: Path, out: Path, a_language: int, seed: int, force: bool) -> None:
    tolerate_encodings()
    pairs = pd.concat([read_table(split / f"{part}.parquet", PART) for part in ("train", "test")], ignore_index=True)
    sample = draw(pairs, a_language, seed)
    text = as_csv(sample)
    name = name_of(text.encode())
    if not force:
        _keep_what_was_judged(out / "sample.csv", text.encode())
    write_text(text, out / "sample.csv")
    write_text(page(sample.to_dict("records"), name), out / "index.html")
    short = {lang: count for lang, count in sample["lang"].value_counts(sort=False).items() if count < a_language}
    click.echo(
        f"{len(sample)} pairs, sample {name}: open {out / 'index.html'}; {out / 'sample.csv'} holds the same pairs"
    )
    if short:
        click.echo(f"fewer than {a_language} in {', '.join(f'{lang} ({count})' for lang, count in short.items())}")


if __name__ == "__main__":
    main()
