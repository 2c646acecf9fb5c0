"""Pushes the dataset or the models to the Hugging Face hub: ``make publish REPO=org/name [WHAT=dataset|models]``.

A repository is private and gated, with access granted by hand, unless ``--public`` is given. A dataset with real harmful answers
stays gated then, too. It then holds exactly what was
pushed: files that are gone here are deleted there in the same commit. The token is read from ``HF_TOKEN`` and written nowhere.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from refuseu.core.errors import UserError
from refuseu.core.network import refuse_credentials, stay_at_hub
from refuseu.core.paths import inside
from refuseu.core.sections import Section, load
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.mixes import Train
from refuseu.release.licences import BUILT_WITH_LLAMA

DATASET, MODELS, CARDS = Path("data/release"), Path("models/dpo"), Path("models/cards")
HUB_FILE = ".gitattributes"
"""The hub writes this file itself, to say which files are large."""


class PublishedModels(Section):
    """What says which models are published."""

    train: Train


@dataclass(frozen=True)
class Upload:
    """What is pushed to one repository."""

    repository: str
    kind: str
    """``dataset`` or ``model``, as the hub calls it."""
    folder: Path
    card: Path | None = None
    """Is pushed as ``README.md``; ``None`` where the folder already holds one."""

    @property
    def card_text(self) -> str:
        """What its card says."""
        return (self.card or self.folder / "README.md").read_text(encoding="utf-8")

    @property
    def stays_gated(self) -> bool:
        """Whether its card has something to agree to, which the hub shows only before a gate."""
        return "\nextra_gated_prompt: " in self.card_text

    @property
    def target(self) -> dict[str, str]:
        """The repository, as arguments of the hub's functions."""
        return {"repo_id": self.repository, "repo_type": self.kind}

    @property
    def files(self) -> dict[str, Path]:
        """The files that are pushed, by their paths in the repository."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        names = [path.relative_to(self.folder).as_posix() for path in found]
        files = {name: inside(self.folder, name, f"publish: {self.repository}") for name in names}
        return files | ({"README.md": self.card} if self.card else {})


def uploads(what: str, repository: str) -> Iterator[Upload]:
    """Yield the dataset as ``repository``, or of each config the model of the first seed as ``repository-<config>``.

    Raises:
        UserError: when there is nothing to push, and for a name that a licence forbids.
    """
    if what == "dataset":
        if not (DATASET / "README.md").is_file():
            raise UserError(f"{DATASET}: holds no dataset; 'dvc repro release' or 'dvc pull {DATASET}' brings it")
        yield Upload(repository, "dataset", DATASET)
        return
    train = load(PublishedModels).train
    released = sorted(model for model in train.runs if model.seed == train.seeds[0])
    released = [model for model in released if (MODELS / model.folder).is_dir()]
    if not released:
        raise UserError(
            f"{MODELS}: holds no model of the first seed, {train.seeds[0]}; 'dvc repro' or 'dvc pull {MODELS}' brings them"
        )
    for model in released:
        folder, card = MODELS / model.folder, CARDS / f"{model.name}.md"
        if not card.is_file():
            raise UserError(f"{card}: no such card; 'dvc repro release' writes it")
        upload = Upload(f"{repository}-{model.name}", "model", folder, card)
        organisation, _, name = repository.partition("/")
        if BUILT_WITH_LLAMA in upload.card_text and not name.startswith("Llama"):
            raise UserError(
                f"publish: {upload.repository} was made with a Llama, whose licence wants the names of models to begin with "
                f"'Llama'; REPO={organisation}/Llama-{name} does"
            )
        yield upload


def surplus_files(upload: Upload, hub: Any) -> list[str]:
    """The files that the repository holds and the upload does not; ``hub`` is a ``huggingface_hub.HfApi``."""
    if not hub.repo_exists(**upload.target):
        return []
    return sorted(set(hub.list_repo_files(**upload.target)) - set(upload.files) - {HUB_FILE})


def surplus_models(repository: str, planned: list[Upload], hub: Any) -> list[str]:
    """Published models named ``repository-<config>`` whose config is no longer among the uploads."""
    organisation, _, name = repository.partition("/")
    published = {model.id for model in hub.list_models(author=organisation, search=f"{name}-")}
    ours = {model for model in published if model.startswith(f"{repository}-")}
    return sorted(ours - {upload.repository for upload in planned})


def push(upload: Upload, surplus: list[str], hub: Any, public: bool, squash: bool = False) -> None:
    """Create the repository, gate it while it is empty, and in one commit add the files and delete ``surplus``.

    With ``squash`` the commit becomes the only one in the history of the main branch, which cannot be undone.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    hub.create_repo(**upload.target, private=not public, exist_ok=True)
    # Visibility again: create_repo leaves a repository that exists as it was.
    hub.update_repo_settings(
        **upload.target, private=not public, gated=False if public and not upload.stays_gated else "manual"
    )
    changes = [CommitOperationDelete(path_in_repo=name) for name in surplus] + [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in upload.files.items()
    ]
    hub.create_commit(**upload.target, operations=changes, commit_message="Publish")
    if squash:
        hub.super_squash_history(**upload.target, commit_message="Publish")


@click.command(help=__doc__)
@click.argument("what", type=click.Choice(["dataset", "models"]))
@click.argument("repository", metavar="ORGANISATION/NAME")
@click.option("--public", is_flag=True, help="Not private; gated only where the card has something to agree to.")
@click.option("--squash-history", is_flag=True, help="Remove earlier versions from the history too, for good.")
@click.option("--dry-run", is_flag=True, help="Say what would be pushed and deleted, and do neither.")
def main(what: str, repository: str, public: bool, squash_history: bool, dry_run: bool) -> None:
    tolerate_encodings()
    refuse_credentials("publish: the repository", repository)
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", repository):
        raise UserError(f"publish: {repository!r} is no repository's name; give ORGANISATION/NAME")
    planned = list(uploads(what, repository))
    token = _token()
    if not token and not dry_run:
        raise UserError("publish: HF_TOKEN is not set; export a token with write access (hf.co/settings/tokens)")
    hub = _hub(token) if token else None
    for upload in planned:
        size = sum(path.stat().st_size for path in upload.files.values()) / 1e6
        say(f"{upload.kind} {upload.repository}: {len(upload.files)} files of {upload.folder}, {size:.1f} MB")
        if hub:
            with _refusals(upload.repository, token):
                surplus = surplus_files(upload, hub)
                if not dry_run:
                    push(upload, surplus, hub, public, squash_history)
            for name in surplus:
                say(f"  {'would delete' if dry_run else 'deleted'} {name}")
    if hub and what == "models":
        with _refusals(repository, token):
            left = surplus_models(repository, planned, hub)
        for name in left:
            say(f"model {name}: not in {MODELS} and still published; to remove it: .venv/bin/hf repos delete {name}")
    if not hub:
        say("HF_TOKEN is not set, so the hub was not asked: files that would be deleted there are not named")


def _token() -> str:
    """The token; empty where none is set.

    Raises:
        UserError: for a value that cannot be sent as a token. The sentence does not show it.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise UserError("publish: HF_TOKEN holds a blank or a letter that no token has; export it once more")
    return token


def _hub(token: str) -> Any:
    from huggingface_hub import HfApi

    stay_at_hub()
    return HfApi(token=token)


@contextmanager
def _refusals(repository: str, token: str) -> Iterator[None]:
    """Turn whatever the hub's library raises into one sentence that never shows the token."""
    from httpx2 import HTTPError, InvalidURL

    try:
        yield
    # The library's own errors are OSError and ValueError; its uploader, written in Rust, raises RuntimeError.
    except (HTTPError, InvalidURL, OSError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).replace(token, "***")
        raise UserError(
            f"publish: stopped at {repository} ({reason}); mend that and run it again, what is published already stays"
        ) from None


if __name__ == "__main__":
    main()
