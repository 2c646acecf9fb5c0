"""``make store-export`` and ``make store-import``: rows that were paid for once, for everyone in a team."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import click

from refuseu.core.errors import UserError
from refuseu.core.files import atomic, writing
from refuseu.core.terminal import say
from refuseu.store.lines import Row, opened, read, written
from refuseu.store.rows import Store

AT_ONCE = 1000
"""Rows in one commit."""


def take_in(store: Store, rows: Iterable[Row]) -> int:
    """Keep rows, and return how many are new."""
    waiting, new = iter(rows), 0
    while batch := list(islice(waiting, AT_ONCE)):
        new += store.add(batch)
    return new


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", default="", help="Rows of models alone whose name holds this text, like org/name.")
def exported(file: Path, model: str) -> None:
    """Write the rows of the store into FILE, compressed where it ends in .gz."""
    rows, count = Store().rows(), 0
    # The name of the file that is written first has another ending, so the compression is chosen by the last one.
    with atomic(file) as temporary, opened(temporary, "wb", file.suffix == ".gz") as lines:
        for row in rows:
            if model in row.model:
                lines.write(written(row))
                count += 1
    say(f"{file}: {count} rows")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def imported(file: Path) -> None:
    """Take in the rows of FILE that fit their checksums; a row that is here already stays as it is."""
    fits: Counter[bool] = Counter()

    def fitting() -> Iterator[Row]:
        for row in read(file):
            fits[row is not None] += 1
            if row:
                yield row

    if not file.is_file():
        raise UserError(f"{file}: no such file; name one that 'make store-export' wrote")
    with writing(file):
        new = take_in(Store(), fitting())
    say(f"{file}: {new} new rows, {fits[True] - new} were here already")
    if fits[False]:
        raise UserError(
            f"{file}: {fits[False]} lines do not fit their checksums and were left out; bring the file again"
        )
