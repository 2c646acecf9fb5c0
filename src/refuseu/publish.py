"""Push what ``dvc repro`` made to the Hugging Face hub, on demand: private, and gated by hand unless told otherwise.

The token is read from ``HF_TOKEN`` and written nowhere.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from refuseu.errors import UserError

DATASET, MODELS, CARDS = Path("data/release"), Path("models/dpo"), Path("models/cards")


@dataclass(frozen=True)
class Upload:
    repository: str
    kind: str
    """``dataset`` or ``model``, as the hub calls it."""
    folder: Path
    card: Path | None = None
    """Goes up as ``README.md``; ``None`` where the folder holds one."""


def uploads(what: str, repository: str) -> Iterator[Upload]:
    """What to push where: the dataset as ``repository``, each model as ``repository-<config>``.

    Raises:
        UserError: when there is nothing to push.
    """
    if what == "dataset":
        if not (DATASET / "README.md").is_file():
            raise UserError(f"{DATASET}: holds no dataset; 'dvc repro release' or 'dvc pull {DATASET}' brings it")
        yield Upload(repository, "dataset", DATASET)
        return
    folders = sorted(path for path in MODELS.glob("*") if path.is_dir())
    if not folders:
        raise UserError(f"{MODELS}: holds no model; 'dvc repro' or 'dvc pull {MODELS}' brings them")
    for folder in folders:
        card = CARDS / f"{folder.name}.md"
        if not card.is_file():
            raise UserError(f"{card}: no such card; 'dvc repro release' writes it")
        yield Upload(f"{repository}-{folder.name}", "model", folder, card)


def push(upload: Upload, hub: Any, public: bool) -> None:
    """Create the repository, gated before anything is in it, and fill it; ``hub`` is a ``huggingface_hub.HfApi``."""
    where = {"repo_id": upload.repository, "repo_type": upload.kind}
    hub.create_repo(**where, private=not public, exist_ok=True)
    # Both again: a repository that was there before keeps its visibility.
    hub.update_repo_settings(**where, private=not public, gated=False if public else "manual")
    hub.upload_folder(**where, folder_path=upload.folder, commit_message="Publish")
    if upload.card:
        hub.upload_file(
            **where, path_or_fileobj=upload.card, path_in_repo="README.md", commit_message="Publish the card"
        )


@click.command(help=__doc__)
@click.argument("what", type=click.Choice(["dataset", "models"]))
@click.argument("repository", metavar="ORGANISATION/NAME")
@click.option("--public", is_flag=True, help="Neither private nor gated.")
@click.option("--dry-run", is_flag=True, help="Say what would be pushed, and push nothing.")
def main(what: str, repository: str, public: bool, dry_run: bool) -> None:
    planned = list(uploads(what, repository))
    token = os.environ.get("HF_TOKEN")
    if not token and not dry_run:
        raise UserError("publish: HF_TOKEN is not set; export a token with write access (hf.co/settings/tokens)")
    for upload in planned:
        files = [path for path in upload.folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        click.echo(f"{upload.kind} {upload.repository}: {len(files)} files of {upload.folder}, {size:.1f} MB")
        if not dry_run:
            _push(upload, str(token), public)


def _push(upload: Upload, token: str, public: bool) -> None:
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        push(upload, HfApi(token=token), public)
    except (HTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0].replace(token, "***")
        raise UserError(f"publish: the hub refused {upload.repository} ({reason})") from None


if __name__ == "__main__":
    main()
