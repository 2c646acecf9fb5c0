"""Resolves a model or dataset to a commit, which is looked up at the hub where the profile names none."""

import re
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.core.terminal import say
from refuseu.store.rows import Store, row_key
from refuseu.weights.hub import Holds, cached_commit, newest_commit
from refuseu.weights.reference import ModelReference, is_folder

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_model(repo: str, revision: str | None, store: Store, entry: str | None = None) -> ModelReference:
    """The model of a repository at a commit, or the model in a folder if ``repo`` begins with ``/`` or ``.``.

    ``entry`` is where the parameters name it, as ``models.base``.

    Raises:
        UserError: when the folder does not hold a whole model, and when the commit cannot be looked up.
    """
    if is_folder(repo):
        return ModelReference.read(Path(repo), entry=entry)
    return ModelReference(repo, hub_commit(repo, revision, store), called=f"{entry}: {repo}" if entry else None)


def hub_commit(repo: str, revision: str | None, store: Store, holds: Holds = "model") -> str:
    """The commit of a revision. The row store remembers it, so that a note can say when a branch has moved.

    Where the hub cannot be asked, it is the remembered one, or else that of the hub's cache.

    Raises:
        UserError: when the commit cannot be looked up and neither the row store nor the hub's cache knows it.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    key = row_key(repo=repo if holds == "model" else f"{holds}s/{repo}", revision=revision)
    try:
        commit = newest_commit(repo, revision, holds)
    except UserError as error:
        noted = store.noted(key)
        known = noted or cached_commit(repo, revision, holds)
        if known is None:
            raise
        source = "the last time" if noted else "the hub's cache"
        _say(f"{error.message}; taken is the commit of {source}, {known}")
        return known
    before = store.noted(key)
    if before not in (None, commit):
        way_out = "its rows are asked anew; name a commit to keep to one"
        _say(f"{repo}: {revision or 'the main branch'} is at {commit} now and was at {before}; {way_out}")
    store.note(key, commit)
    return commit


def _say(words: str) -> None:
    say(f"Note: {words}", err=True)
