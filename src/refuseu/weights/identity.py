"""What a model is, told without loading it: its rows are kept under this."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.weights.reference import ModelReference

DECIDING = (".safetensors", ".json", ".jinja")
BLOCK = 2**20
"""Bytes that are read at once: a model's weights need not fit the memory."""


def identity(reference: ModelReference) -> str:
    """The commit of a repository, or a hash of the folder's contents; an adapter's with its base's."""
    if isinstance(reference.source, str):
        return f"{reference.source}@{reference.commit}"
    own = weights_hash(reference.source)
    return f"{identity(reference.base)}+{own}" if reference.base else own


def weights_hash(folder: Path) -> str:
    """SHA-256 over all that decides what a model folder says: weights, their configuration, the tokenizer, its template."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in DECIDING:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()


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
