"""The identity of a model, which is known without loading it. The row store keeps a model's rows under it."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.weights.reference import ModelReference

DECIDING = (".safetensors", ".json", ".jinja")
BLOCK = 2**20
"""Bytes that are read at once, since a model's weights need not fit into memory."""


def identity(reference: ModelReference) -> str:
    """``repository@commit``, or a hash of the folder's contents. The identity of an adapter includes that of its base."""
    if isinstance(reference.source, str):
        return f"{reference.source}@{reference.commit}"
    own = weights_hash(reference.source)
    return f"{identity(reference.base)}+{own}" if reference.base else own


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_hash(folder: Path) -> str:
    """SHA-256 over all files that decide what the model answers: weights, configurations, tokenizer and chat template."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in DECIDING:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()


def assert_configured(models: Path, configs: Collection[str]) -> None:
    """Fail if a folder below ``models`` is the model of no config. The folder ``models`` itself need not exist.

    DVC keeps the outputs of a stage that was removed and includes them in the hash of ``models``. The evaluation would then be
    stale in a clone that never had them.

    Raises:
        UserError: that names the folder and the files that were made with it.
    """
    folders = sorted(models.iterdir()) if models.is_dir() else []
    for folder in folders:
        if folder.is_dir() and folder.name not in configs and not folder.name.startswith("."):
            name = folder.name
            raise UserError(
                f"{folder}: no config of train.configs has this name; add it there, or take the model away with all that was "
                f"made with it: 'rm -r {folder} metrics/dpo/{name}.json plots/dpo/{name}.json'"
            )
