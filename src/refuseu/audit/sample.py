"""Draws the pairs that people look at: ``make audit``.

The sample is of the accepted pairs of train and test of ``data/split``, stratified in each language over category, style and
kind, and written as CSV and as one page that works offline.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import pandas as pd

from refuseu.audit.page import page
from refuseu.core.errors import UserError
from refuseu.core.files import write_text
from refuseu.core.schema import QUESTION_AND_LANGUAGE, read_table
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.experiment import PIVOT
from refuseu.results.spreadsheet import csv_text, visible, written_cell
from refuseu.sources.sheets import read_rows
from refuseu.tables.schemas import PART, TEST, TRANSLATION
from refuseu.text.normal import composed

COLUMNS = ["id", "lang", "kind", "category", "style", "question", "english", "chosen", "rejected"]
"""``english`` is the question that a translation was made of; it is empty where nothing was translated."""
WAY_OUT = "'make audit' writes the sample"


def draw(pairs: pd.DataFrame, a_language: int, seed: int) -> pd.DataFrame:
    """``a_language`` rows of each language (all, where there are fewer), from every stratum in turn.

    ``pairs`` have the columns of ``PART`` and ``english``; rows without answers are left out (pairs that were not accepted).
    """
    pairs = pairs[pairs["chosen"].notna()].sort_values(["lang", "question_id"])
    chosen = [
        index
        for lang, rows in pairs.groupby("lang", sort=True)
        for index in _in_turn(rows, a_language, random.Random(f"{seed}-{lang}"))
    ]
    drawn = pairs.loc[chosen].assign(id=pairs["question_id"] + "-" + pairs["lang"], question=pairs["text"])
    return drawn[COLUMNS].fillna("").map(visible).reset_index(drop=True)


def with_source(pairs: pd.DataFrame, translations: pd.DataFrame) -> pd.DataFrame:
    """``pairs`` with the column ``english``; ``translations`` is the table of the stage ``translate``.

    A back-translation was scored only where there was a translation: the questions of a published set have none.
    """
    english = translations[translations["lang"] == PIVOT].set_index("question_id")["text"]
    translated = translations[translations["chrf"].notna() & (translations["lang"] != PIVOT)]
    source = (
        translated["question_id"].map(english).set_axis(pd.MultiIndex.from_frame(translated[[*QUESTION_AND_LANGUAGE]]))
    )
    return pairs.assign(english=source.reindex(pd.MultiIndex.from_frame(pairs[[*QUESTION_AND_LANGUAGE]])).to_numpy())


def _in_turn(rows: pd.DataFrame, count: int, rng: random.Random) -> list[int]:
    """Positions of ``count`` rows: one of each stratum, strata in a random order, until there are enough."""
    strata = [
        list(group) for group in rows.groupby(["category", "style", "kind"], sort=True, dropna=False).groups.values()
    ]
    for stratum in strata:
        rng.shuffle(stratum)
    rng.shuffle(strata)
    rounds = range(max(map(len, strata)))
    ordered = [stratum[turn] for turn in rounds for stratum in strata if turn < len(stratum)]
    return ordered[:count]


def as_csv(sample: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> str:
    """The sample as spreadsheets read it: with a byte order mark, and no cell that they would run."""
    return f"\ufeff{csv_text(columns, sample[list(columns)].itertuples(index=False))}"


def name_of(rows: Iterable[Iterable[str]]) -> str:
    """The name of a sample, by which verdicts say what they are about: ``s`` and 12 hex digits of the SHA-256 of its cells.

    The letter keeps spreadsheets from reading a number (408420303310 would come back as 4.08E+11). White space and the form of
    accents do not count, so that a sample that a spreadsheet saved keeps its name.
    """
    cells = [[" ".join(composed(written_cell(cell)).split()) for cell in row] for row in rows]
    return f"s{hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:12]}"


def names_of(path: Path, columns: Sequence[str] = COLUMNS) -> list[str]:
    """The names of the sample in a file. The last one is that of samples of version 0.2.0, which named their bytes.

    Raises:
        UserError: when there is no such file.
    """
    try:
        by_cells = [name_of([row[column] for column in columns] for _, row in read_rows(path, list(columns), WAY_OUT))]
    except UserError:
        if not path.is_file():
            raise
        by_cells = []
    return [*by_cells, hashlib.sha256(path.read_bytes()).hexdigest()[:12]]


def keep_what_was_judged(path: Path, name: str, columns: Sequence[str] = COLUMNS) -> None:
    """Refuse to write the sample ``name`` over another one: verdicts on that one could not be read any more."""
    if path.is_file() and name not in (there := names_of(path, columns)):
        raise UserError(
            f"{path}: holds another sample ({there[0]}), which people may have judged; "
            f"OPTIONS='--out {path.parent / name}' puts the new one beside it, OPTIONS=--force in its place"
        )


@click.command(help=__doc__)
@click.option("--split", type=click.Path(path_type=Path), default=Path("data/split"), show_default=True)
@click.option(
    "--questions", type=click.Path(path_type=Path), default=Path("data/translate/questions.parquet"), show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("audit"), show_default=True)
@click.option("--a-language", type=click.IntRange(min=1), default=100, show_default=True, help="Pairs a language.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--force", is_flag=True, help="Replace another sample that is there.")
def main(split: Path, questions: Path, out: Path, a_language: int, seed: int, force: bool) -> None:
    tolerate_encodings()
    parts = [read_table(split / f"{part}.parquet", schema) for part, schema in (("train", PART), ("test", TEST))]
    pairs = with_source(pd.concat(parts, ignore_index=True), read_table(questions, TRANSLATION))
    sample = draw(pairs, a_language, seed)
    name = name_of(sample.itertuples(index=False))
    if not force:
        keep_what_was_judged(out / "sample.csv", name)
    write_text(as_csv(sample), out / "sample.csv")
    write_text(page(sample.to_dict("records"), name), out / "index.html")
    short = {lang: count for lang, count in sample["lang"].value_counts(sort=False).items() if count < a_language}
    say(f"{len(sample)} pairs, sample {name}: open {out / 'index.html'}; {out / 'sample.csv'} holds the same pairs")
    if short:
        say(f"fewer than {a_language} in {', '.join(f'{lang} ({count})' for lang, count in short.items())}")


if __name__ == "__main__":
    main()
