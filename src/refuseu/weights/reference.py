"""Where a model is: a folder of weights, an adapter on a base, or a repository of the hub at a commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refuseu.core.errors import UserError
from refuseu.core.files import read_json

NEEDED = ("*.safetensors", "config.json", "tokenizer.json")
ADAPTER = "adapter_config.json"
"""The file that tells an adapter in peft's format."""
WAY_OUT = "'dvc checkout' brings the last good one back, 'dvc repro' a new one"


@dataclass(frozen=True)
class ModelReference:
    """A model that is not loaded: a folder, or a repository at a commit; a folder with a ``base`` is an adapter on it."""

    source: Path | str
    commit: str | None = None
    base: Self | None = None

    @classmethod
    def read(cls, folder: Path, base: Self | None = None) -> Self:
        """What lies in ``folder``; an adapter there is one on ``base``.

        Raises:
            UserError: for a folder that holds no whole model: transformers would take its name for a repository. For an adapter
                without a ``base`` too: transformers would fetch the one that the adapter names, at whatever commit.
        """
        pointer = folder / "reference.json"
        if pointer.is_file():
            return cls(*_pointed(pointer))
        adapter = (folder / ADAPTER).is_file()
        for name in NEEDED[:1] if adapter else NEEDED:
            if not any(folder.glob(name)):
                raise UserError(f"{folder}: holds no {name}; 'dvc repro' or 'dvc pull' brings the model")
        if adapter and base is None:
            raise UserError(
                f"{folder}: is an adapter, of which the base is not known; name a folder with a whole model"
            )
        return cls(folder, base=base if adapter else None)


def _pointed(pointer: Path) -> tuple[str, str]:
    """The repository and the commit that a pointer names."""
    match read_json(pointer, WAY_OUT):
        case {"source": str(source), "commit": str(commit)} if source and commit:
            return source, commit
        case _:
            raise UserError(f"{pointer}: names no repository at a commit; {WAY_OUT}")


@contextmanager
def readable(reference: ModelReference) -> Iterator[None]:
    """Turns what loading a damaged model raises into a sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    except RuntimeError as error:
        # What transformers raises here bears no name of its own.
        if "ignore_mismatched_sizes" not in str(error):
            raise
        reason = "its weights have other shapes than its configuration, or its base, asks for"
    else:
        return
    raise UserError(f"{reference.source}: not a readable model ({reason}); {WAY_OUT}")


def is_folder(repo: str) -> bool:
    """Whether a repository's name is a path on this machine: it begins with ``/`` or ``.``."""
    return repo.startswith(("/", "."))


def check_revision(revision: str | None, repo: str | None) -> None:
    """
    Raises:
        ValueError: for a revision of what has none: a folder is what lies in it.
    """
    if revision and (repo is None or is_folder(repo)):
        raise ValueError("revision: only a repo of the hub has one; take it out")
