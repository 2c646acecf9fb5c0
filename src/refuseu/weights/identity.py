"""The identity of a model, which is known without loading it. The row store keeps a model's rows under it."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.weights.reference import ModelReference

DECIDING = (".safetensors", ".json", ".jinja")
TEMPLATES = "additional_chat_templates"
"""The folder in a model's from which transformers takes further chat templates; one that is called ``default`` stands above the
model's own."""
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
    for path in [*sorted(folder.iterdir()), *sorted(folder.glob(f"{TEMPLATES}/*.jinja"))]:
        if path.suffix in DECIDING:
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()


def assert_configured(models: Path, trained: Collection[str]) -> None:
    """Fail if ``models`` holds others than those of ``trained``, each ``<config>/<seed>``. The folder itself need not exist.

    DVC keeps the outputs of a stage that was removed and includes them in the hash of ``models``. The evaluation would then be
    stale in a clone that never had them.

    Raises:
        UserError: that names the folders and the files that were made with them.
    """
    left = sorted(_left_over(models, trained))
    if left:
        made = " ".join(str(each) for path in left for each in (path, *_made_with(path, models)))
        raise UserError(
            f"{', '.join(map(str, left))}: not trained by train.configs, train.single and train.seeds; add it there, or take it "
            f"away with all that was made with it: 'rm -r {made}'"
        )


def _left_over(models: Path, trained: Collection[str]) -> Iterator[Path]:
    """The folder of a config that is gone, and of one that is there whatever is no seed of it."""
    configs = {name.partition("/")[0] for name in trained}
    for folder in filter(Path.is_dir, _seen(models)):
        if folder.name not in configs:
            # DVC leaves an empty folder behind.
            yield from [folder] if _seen(folder) else ()
        else:
            yield from (each for each in _seen(folder) if f"{folder.name}/{each.name}" not in trained)


def _seen(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return [each for each in found if not each.name.startswith(".")]


def _made_with(path: Path, models: Path) -> list[str]:
    """What the training of a folder below ``models`` wrote elsewhere."""
    if path.is_file():
        return []
    name = path.relative_to(models)
    return [f"{kind}/dpo/{name}{'' if path.parent == models else '.json'}" for kind in ("metrics", "plots")]
