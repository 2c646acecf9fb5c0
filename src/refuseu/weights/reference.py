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
"""The file by which an adapter in peft's format is recognized."""
WAY_OUT = "'dvc checkout' brings the last good one back, 'dvc repro' a new one"


@dataclass(frozen=True)
class ModelReference:
    """A model that is not loaded: a folder, or a repository at a commit. A folder with a ``base`` is an adapter on that base."""

    source: Path | str
    commit: str | None = None
    base: Self | None = None

    @classmethod
    def read(cls, folder: Path, base: Self | None = None) -> Self:
        """The model in ``folder``: its weights, the repository that its pointer names, or an adapter on ``base``.

        Raises:
            UserError: for a folder that does not hold a whole model, because transformers would take its name for a repository;
                and for an adapter without a ``base``, because transformers would fetch the base that the adapter names, at
                whatever commit it is.
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
    """The repository and the commit that the file ``pointer`` names."""
    match read_json(pointer, WAY_OUT):
        case {"source": str(source), "commit": str(commit)} if source and commit:
            return source, commit
        case _:
            raise UserError(f"{pointer}: names no repository at a commit; {WAY_OUT}")


@contextmanager
def readable(reference: ModelReference) -> Iterator[None]:
    """Turn the errors that loading a damaged model raises into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    except RuntimeError as error:
        # transformers has no class of its own for this error.
        if "ignore_mismatched_sizes" not in str(error):
            raise
        reason = "its weights have other shapes than its configuration, or its base, asks for"
    else:
        return
    raise UserError(f"{reference.source}: not a readable model ({reason}); {WAY_OUT}")


def is_folder(repo: str) -> bool:
    """Whether the name of a repository is a path on this machine, which begins with ``/`` or ``.``."""
    return repo.startswith(("/", "."))


def check_revision(revision: str | None, repo: str | None) -> None:
    """Make sure that a revision is given only for a repository of the hub.

    Raises:
        ValueError: for a revision of a folder, or of no repository.
    """
    if revision and (repo is None or is_folder(repo)):
        raise ValueError("revision: only a repo of the hub has one; take it out")
