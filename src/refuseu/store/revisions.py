"""Which model or dataset is meant: the commit of a repository, looked up where a revision is left open."""

import re
from pathlib import Path

import click

from refuseu.core.errors import UserError
from refuseu.store.rows import Store, row_key
from refuseu.weights.hub import Holds, newest_commit
from refuseu.weights.reference import ModelReference, is_folder

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_model(repo: str, revision: str | None, store: Store) -> ModelReference:
    """The model of a repository at a commit, or of a folder where ``repo`` begins with ``/`` or ``.``.

    Raises:
        UserError: when the folder holds no whole model, or the commit of a revision cannot be looked up.
    """
    if is_folder(repo):
        return ModelReference.read(Path(repo))
    return ModelReference(repo, hub_commit(repo, revision, store))


def hub_commit(repo: str, revision: str | None, store: Store, holds: Holds = "model") -> str:
    """The commit of a revision that is left open; the row store remembers it, so that a change is told.

    Raises:
        UserError: when the commit cannot be looked up.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    key = row_key(repo=repo if holds == "model" else f"{holds}s/{repo}", revision=revision)
    try:
        commit = newest_commit(repo, revision, holds)
    except UserError as error:
        known = store.noted(key)
        if known is None:
            raise
        _say(f"{error.message}; taken is the commit of the last time, {known}")
        return known
    before = store.noted(key)
    if before not in (None, commit):
        way_out = "its rows are asked anew; name a commit to keep to one"
        _say(f"{repo}: {revision or 'the main branch'} is at {commit} now and was at {before}; {way_out}")
    store.note(key, commit)
    return commit


def _say(words: str) -> None:
    click.echo(f"Note: {words}", err=True)
