"""The experiments on the last commit, one after the other: what each changed, and what came of it.

``python -m refuseu.commands.experiments``, the heart of ``make experiments``. No line is wider than 120 columns, however many
models there are: a model is a row, and an experiment shows the models that differ.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import click

from refuseu.core.errors import UserError
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.results.markdown import printable
from refuseu.review.changes import cells_at, changes, headlines, parameter_changes, parameters_at, unpaired
from refuseu.review.processes import reason, run_module
from refuseu.review.revisions import bring


def experiments() -> list[tuple[str, str | None]]:
    """The name of every experiment on HEAD, the newest first, with its commit, or nothing while it has none.

    Raises:
        UserError: when DVC cannot list them.
    """
    listed = run_module("dvc", "exp", "show", "--json")
    if listed.returncode:
        raise UserError(f"experiments: DVC cannot list them ({reason(listed)})")
    commits: list[dict[str, Any]] = json.loads(listed.stdout)
    found = [each for commit in commits[1:] for each in commit["experiments"] or ()]
    return [(each["name"] or each["revs"][0]["rev"][:7], _commit(each)) for each in found]


def _commit(experiment: dict[str, Any]) -> str | None:
    """Of an experiment that is done: one that waits, runs or failed has an executor, or no data."""
    newest: dict[str, Any] = experiment["revs"][0]
    return (
        str(newest["rev"])
        if newest.get("data") and (experiment.get("executor") or {}).get("state") in (None, "success")
        else None
    )


def shown(base: str, revision: str | None) -> Iterator[str]:
    """What differs between two revisions, or from the workspace for ``None``, as lines for a terminal."""
    try:
        yield from parameter_changes(parameters_at(base), parameters_at(revision))
        before, after = cells_at(base), cells_at(revision)
    except UserError as error:
        yield printable(error.message)
        return
    found = changes(before, after)
    yield from ["", *headlines(found).text().splitlines()] if found else ["no model differs"]
    yield from unpaired(before, after)


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    head = bring("HEAD")
    for name, revision in experiments():
        lines = shown(head, revision) if revision else ["waits, runs or failed; `dvc exp show` says which"]
        show(f"{name}, beside {head[:7]}", lines)
    show(f"The workspace, beside {head[:7]}", shown(head, None))


def show(title: str, lines: Iterable[str]) -> None:
    say(printable(title), bold=True)
    say("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
