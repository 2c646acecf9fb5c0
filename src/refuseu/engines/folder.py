"""A model folder in the Hugging Face hub's format: that it is whole and of a config, and what its contents hash to."""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from refuseu.errors import UserError

NEEDED = ("*.safetensors", "config.json", "tokenizer.json")


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Checks that ``folder`` holds a model, and turns what loading a damaged one raises into a sentence.

    Without the check transformers would take the folder's name for a repository of the hub and ask for it.
    """
    from safetensors import SafetensorError

    for name in NEEDED:
        if not any(folder.glob(name)):
            raise UserError(f"{folder}: holds no {name}; 'dvc repro' or 'dvc pull' brings the model")
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder}: not a readable model ({reason}); 'dvc checkout' brings the last good one back, "
            "'dvc repro' makes it anew"
        ) from None


def assert_configured(models: Path, configs: Collection[str]) -> None:
    """Fail for a folder below ``models`` that is the model of no config; without ``models`` there is none.

    DVC keeps what a stage that is gone has made and hashes it along, so the evaluation would not be up to date in a clone
    that never had it.

    Raises:
        UserError: naming the folder and what was made with it.
    """
    folders = sorted(models.iterdir()) if models.is_dir() else []
    for folder in folders:
        if folder.is_dir() and folder.name not in configs:
            name = folder.name
            raise UserError(
                f"{folder}: no config of train.configs has this name; add it there, or take the model away with all that was "
                f"made with it: 'rm -r {folder} metrics/dpo/{name}.json plots/dpo/{name}.json'"
            )


def weights_hash(folder: Path) -> str:
    """SHA-256 over all that decides what a model folder says: weights, their configuration, the tokenizer, its template."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".json", ".jinja"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
