"""Models of the Hugging Face hub: which commit is meant, and the files on this machine."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from refuseu.engines.reference import NEEDED, ModelReference
from refuseu.errors import UserError
from refuseu.store import Store, row_key

COMMIT = re.compile(r"[0-9a-f]{40}")
FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer*", "*.model"]
"""What is fetched of a repository: weights as safetensors alone, never pickles or code."""


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


def newest_commit(repo: str, revision: str | None) -> str:
    """The commit that a branch or tag (the main branch for ``None``) stands at."""
    from huggingface_hub import HfApi

    with _reachable(repo):
        return str(HfApi().model_info(repo, revision=revision).sha)


def assert_obtainable(repo: str, revision: str | None) -> None:
    """Ask the hub whether the files of a repository at a revision may be fetched; nothing is.

    Raises:
        UserError: when they may not: gated, unknown, no such revision, no network.
    """
    from huggingface_hub import HfApi

    with _reachable(repo):
        HfApi().auth_check(repo)
        HfApi().model_info(repo, revision=revision)


def fetched(reference: ModelReference) -> ModelReference:
    """The model as a folder on this machine; a repository is fetched at its commit, where the hub's cache lacks it.

    Raises:
        UserError: when it cannot be had: gated, unknown, no such commit, no network, or no safetensors in it.
    """
    if isinstance(reference.source, Path):
        return reference
    from huggingface_hub import snapshot_download

    with _reachable(reference.source):
        folder = snapshot_download(reference.source, revision=reference.commit, allow_patterns=FILES)
    for name in NEEDED:
        if not any(Path(folder).glob(name)):
            raise UserError(f"{reference.source}: has no {name} at {reference.commit}; name a repository that has")
    return ModelReference(Path(folder))


@contextmanager
def _reachable(repo: str) -> Iterator[None]:
    from httpx2 import HTTPError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError:
        way_out = "ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN"
        raise UserError(f"{repo}: the repository is gated; {way_out}") from None
    except RevisionNotFoundError:
        raise UserError(f"{repo}: has no such revision; name one of its commits in the profile") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(
            f"{repo}: the hub knows no such repository, or shows it only to others; mend the profile"
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, HTTPError, OSError) as error:
        way_out = "check the network, or name a folder that holds the model"
        raise UserError(f"{repo}: the hub cannot be reached ({type(error).__name__}); {way_out}") from None
