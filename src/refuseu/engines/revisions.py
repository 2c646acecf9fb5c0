"""Which model is meant: the commit of a repository, looked up where the profile leaves it open."""

import re
from pathlib import Path

import click

from refuseu.engines.hub import newest_commit
from refuseu.engines.reference import ModelReference
from refuseu.errors import UserError
from refuseu.store import Store, row_key

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_model(repo: str, revision: str | None, store: Store) -> ModelReference:
    """The model of a repository at a commit, or of a folder where ``repo`` begins with ``/`` or ``.``.

    Raises:
        UserError: when the folder holds no whole model, or the commit of a revision cannot be looked up.
    """
    if repo.startswith(("/", ".")):
        return ModelReference.read(Path(repo))
    if revision and COMMIT.fullmatch(revision):
        return ModelReference(repo, revision)
    return ModelReference(repo, _commit(repo, revision, store))


def _commit(repo: str, revision: str | None, store: Store) -> str:
    """The commit of a revision that the profile leaves open; the row store remembers it, so that a change is told."""
    key = row_key(repo=repo, revision=revision)
    try:
        commit = newest_commit(repo, revision)
    except UserError as error:
        known = store.noted(key)
        if known is None:
            raise
        _say(f"{error.message}; taken is the commit of the last time, {known}")
        return known
    before = store.noted(key)
    if before not in (None, commit):
        way_out = "its rows are asked anew; name a commit in the profile to keep to one"
        _say(f"{repo}: {revision or 'the main branch'} is at {commit} now and was at {before}; {way_out}")
    store.note(key, commit)
    return commit


def _say(words: str) -> None:
    click.echo(f"Note: {words}", err=True)
