"""A model folder in the Hugging Face hub's format: that it is whole, and what its contents hash to."""

import hashlib
from collections.abc import Iterator
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


def weights_hash(folder: Path) -> str:
    """SHA-256 over all that decides what a model folder says: weights, their configuration, the tokenizer, its template."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".json", ".jinja"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
