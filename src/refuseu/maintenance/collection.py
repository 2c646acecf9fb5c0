"""``make store-gc``: removes the rows that no committed result and no experiment needs. It only shows them unless it is told."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pyarrow as pa
import pyarrow.parquet as pq

from refuseu.core.errors import UserError
from refuseu.core.locked import LOCK
from refuseu.core.terminal import say
from refuseu.maintenance.counts import MB
from refuseu.maintenance.sharing import take_in
from refuseu.results.markdown import NO_VALUE, Table
from refuseu.review.locked import Lock
from refuseu.review.processes import git
from refuseu.review.revisions import mapping_at
from refuseu.store.last_run import ROWS, cache_folder, listed
from refuseu.store.rows import Store, today

YOUNG = 30
"""Days for which a row stays in any case: the run that asked for it may not have come to its end."""
REFS = ("refs/heads", "refs/remotes", "refs/tags", "refs/exps")
"""Branches, tags and experiments, those in a queue too."""
SHOWN = 5


class Needed(NamedTuple):
    """What the results of all branches, tags and experiments are made of."""

    keys: set[str]
    unknown: list[str]
    """Tables of rows that are not here, as "output at commit", so that nobody can tell which rows they need."""


def needed() -> Needed:
    """The keys in the tables of rows that each dvc.lock names, in the workspace and at all that has a name in Git."""
    objects = cache_folder(Path()) / "files/md5"
    keys: set[str] = set()
    unknown: list[str] = []
    for folder, where in sorted(_folders().items()):
        entries = listed(objects, folder)
        table = (entries or {}).get(ROWS)
        if entries is None or (table and not table.is_file()):
            unknown.append(where)
        elif table:
            try:
                found = pq.read_table(table, columns=["key"])["key"].to_pylist()
            except (pa.ArrowException, OSError):
                unknown.append(where)
            else:
                keys.update(map(bytes.hex, found))
    return Needed(keys, unknown)


def _folders() -> dict[str, str]:
    """By the hash of a folder below ``data/``, where it is named: its path and the commit."""
    commits = sorted({*git("for-each-ref", "--format=%(objectname)", *REFS).stdout.split(), "HEAD"})
    found: dict[str, str] = {}
    for revision in (None, *commits):
        for path, hashed in _locked(revision):
            found.setdefault(hashed, f"{path} at {revision[:7] if revision else 'the workspace'}")
    return found


def _locked(revision: str | None) -> Iterator[tuple[str, str]]:
    try:
        lock = Lock.model_validate(mapping_at(revision, LOCK))
    except UserError:  # a commit of before there was a lock
        return
    for stage in lock.stages.values():
        for out in stage.outs:
            if out.path.startswith("data/") and out.md5:
                yield out.path, out.md5


def plan(store: Store, keep: set[str], days: int) -> tuple[Table, list[str]]:
    """What stays and what goes, by model, and the keys of what goes."""
    counts: Counter[tuple[str, str]] = Counter()
    size: Counter[tuple[str, str]] = Counter()
    gone: list[str] = []
    for key, length, model, _, day in store.origins():
        why = "needed" if key in keep else "young" if today() - day < days else "goes"
        counts[model or NO_VALUE, why] += 1
        size[model or NO_VALUE, why] += length
        if why == "goes":
            gone.append(key)
    rows = [
        [model, *(str(counts[model, why]) for why in ("needed", "young", "goes")), f"{size[model, 'goes'] / MB:.1f}"]
        for model in sorted({model for model, _ in counts})
    ]
    total = [str(sum(counts[model, why] for model, _, _, _, _ in rows)) for why in ("needed", "young", "goes")]
    rows.append(["all", *total, f"{sum(size[each] for each in size if each[1] == 'goes') / MB:.1f}"])
    header = ["model", "rows needed", f"younger than {days} days", "that go", "MB that go"]
    return Table(header, rows), gone


@click.command()
@click.option("--delete", is_flag=True, help="Remove them; without it they are only counted.")
@click.option("--days", default=YOUNG, show_default=True, type=click.IntRange(0), help="Younger rows stay.")
@click.option("--without-missing", is_flag=True, help="Remove rows though tables that may need them are not here.")
def main(delete: bool, days: int, without_missing: bool) -> None:
    """Remove the rows that no dvc.lock of a branch, a tag or an experiment needs."""
    store, found = Store(), needed()
    if any(not day for *_, day in store.origins()):
        # Rows of before checksums: nobody knows how old they are, so they are counted as of today.
        take_in(store, (row for row in store.rows() if not row.day))
    table, gone = plan(store, found.keys, days)
    say(f"{store.path}\n\n{table.text()}\n")
    if found.unknown:
        more = f" and {len(found.unknown) - SHOWN} more" if len(found.unknown) > SHOWN else ""
        missing = f"not in DVC's cache: {', '.join(found.unknown[:SHOWN])}{more}"
        if delete and not without_missing:
            raise UserError(
                f"store-gc: nothing is removed, since rows that these tables need would go too ({missing}); "
                "'dvc fetch --all-branches --all-tags' brings them, or add --without-missing to OPTIONS"
            )
        say(f"Rows that these tables need are counted as not needed ({missing}).")
    if not delete:
        say("Nothing was removed. To remove the rows that go: make store-gc OPTIONS=--delete")
        return
    store.remove(gone)
    say(f"{len(gone)} rows were removed.")
