"""``make store-stat``: rows and bytes of the row store by model, by the stage that asked first, and by age."""

from collections import Counter
from collections.abc import Iterable

import click

from refuseu.core.terminal import say
from refuseu.results.markdown import NO_VALUE, Table
from refuseu.store.rows import Store, today

AGES = (7, 30, 90, 365)
"""Ends of the ages that rows are counted by, in days."""
MB = 1e6


def by_origin(rows: Iterable[tuple[str, int, str, str, int]]) -> Table:
    """Rows and megabytes by model and stage, the largest first, and by age below them."""
    number: Counter[tuple[str, ...]] = Counter()
    size: Counter[tuple[str, ...]] = Counter()
    now = today()
    for _, length, model, stage, day in rows:
        for group in ((model or NO_VALUE, stage or NO_VALUE, ""), ("all", "", age(day, now)), ("all", "", "")):
            number[group] += 1
            size[group] += length
    order = sorted(number, key=lambda group: (group[0] == "all", -size[group], group))
    header = ["model", "asked by", "age", "rows", "MB"]
    return Table(header, [[*group, str(number[group]), f"{size[group] / MB:.1f}"] for group in order], names=3)


def age(day: int, now: int) -> str:
    """The age of a row in words."""
    if not day:
        return "unknown"
    fits = [most for most in AGES if now - day <= most]
    return f"up to {fits[0]} days" if fits else f"more than {AGES[-1]} days"


@click.command()
def main() -> None:
    """Count the rows of the store."""
    store = Store()
    say(f"{store.path}\n\n{by_origin(store.origins()).text()}")
