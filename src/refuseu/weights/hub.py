"""The Hugging Face hub: which commit a model or dataset is at, and the files of a model on this machine."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from refuseu.core.errors import UserError
from refuseu.core.network import network_explained
from refuseu.weights.reference import ADAPTER, NEEDED, ModelReference, assert_contained

FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer*", "*.model"]
"""The files that are fetched from a repository. Weights are fetched only as safetensors, and pickles and code never."""
Holds = Literal["model", "dataset"]
"""The kind of a repository. A model and a dataset may have the same name."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The system's error numbers for a disk, or a user's share of a disk, that is full."""


def newest_commit(repo: str, revision: str | None, holds: Holds = "model") -> str:
    """The commit that a branch or tag points to; ``None`` is the main branch."""
    from huggingface_hub import HfApi

    with _reachable(repo):
        hub = HfApi()
        look_up = hub.dataset_info if holds == "dataset" else hub.model_info
        return str(look_up(repo, revision=revision).sha)


def cached_commit(repo: str, revision: str | None, holds: Holds = "model") -> str | None:
    """The commit that a branch or tag was at when the hub's cache last fetched it; nobody is asked.

    ``hf download`` notes it in the cache (``refs/main``). ``None`` where the cache has no such note, or no folder for the commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, repo_type=holds, revision=revision, local_files_only=True)).name
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def assert_obtainable(repo: str, revision: str | None) -> None:
    """Ask the hub whether the files of a repository at a revision can be fetched, without fetching them.

    Raises:
        UserError: when the repository is gated or unknown, when it has no such revision, when the hub cannot be reached, and when
            the repository holds only an adapter.
    """
    from huggingface_hub import HfApi

    with _reachable(repo):
        HfApi().auth_check(repo)
        found = HfApi().model_info(repo, revision=revision)
    if any(file.rfilename == ADAPTER for file in found.siblings or ()):
        raise _adapter_alone(repo, found.sha)


def assert_dataset_obtainable(repo: str, revision: str | None) -> None:
    """Ask the hub whether a dataset at a revision can be fetched, without fetching it.

    Raises:
        UserError: when the dataset is gated or unknown, when it has no such revision, and when the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with _reachable(repo):
        HfApi().auth_check(repo, repo_type="dataset")
        HfApi().dataset_info(repo, revision=revision)


def fetched(reference: ModelReference) -> ModelReference:
    """The model as a folder on this machine. A repository is fetched at its commit, unless the hub's cache holds it.

    Raises:
        UserError: when the repository is gated or unknown, when it has no such commit, when the hub cannot be reached, and when
            the repository holds no safetensors or only an adapter.
    """
    if isinstance(reference.source, Path):
        return reference
    from huggingface_hub import snapshot_download

    with _reachable(reference.source):
        folder = snapshot_download(reference.source, revision=reference.commit, allow_patterns=FILES)
    if (Path(folder) / ADAPTER).is_file():
        raise _adapter_alone(reference.source, reference.commit)
    for name in NEEDED:
        if not any(Path(folder).glob(name)):
            raise UserError(f"{reference.label}: has no {name} at {reference.commit}; name a repository that has")
    found = ModelReference(Path(folder), called=reference.label)
    assert_contained(found)
    return found


def fetched_file(repo: str, commit: str, name: str) -> Path:
    """One file of a repository at a commit, on this machine; it is fetched unless the hub's cache holds it.

    Raises:
        UserError: when the repository is gated or unknown, when it has no such commit or file, and when the hub
            cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        with _reachable(repo):
            return Path(hf_hub_download(repo, name, revision=commit))
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        raise UserError(f"{repo}: has no file {name} at {commit}; name a file of it") from None


def _adapter_alone(repo: str, commit: str | None) -> UserError:
    return UserError(f"{repo}: is an adapter at {commit}; name a repository with a whole model")


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
        with network_explained():
            yield
    except GatedRepoError:
        way_out = "ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN"
        raise UserError(f"{repo}: the repository is gated; {way_out}") from None
    except RevisionNotFoundError:
        raise UserError(f"{repo}: has no such revision; name one of its commits") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(
            f"{repo}: the hub knows no such repository, or shows it only to others; mend its name"
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, HTTPError, OSError) as error:
        if getattr(error, "errno", None) in FULL:
            raise UserError(
                f"{repo}: the disk of the hub's cache is full; make room, or point HF_HOME to a larger one"
            ) from None
        way_out = "check the network, or name a folder that holds it"
        raise UserError(f"{repo}: the hub cannot be reached ({type(error).__name__}); {way_out}") from None
