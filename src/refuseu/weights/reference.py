"""Where a model is: a folder of weights, an adapter on a base, or a repository of the hub at a commit."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from refuseu.core.errors import UserError
from refuseu.core.files import read_json
from refuseu.core.paths import leads_out
from refuseu.weights.faults import of_device

NEEDED = ("*.safetensors", "config.json", "tokenizer.json")
ADAPTER = "adapter_config.json"
"""The file by which an adapter in peft's format is recognized."""
WAY_OUT = "'dvc checkout' brings the last good one back, 'dvc repro' a new one"
WHOLE = "name a folder with a whole model in safetensors"
HUB_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)?")
"""How a repository of the hub is named, and a folder of this machine is not."""
LFS = b"version https://git-lfs"
"""How the file begins that Git LFS leaves in place of one that it has not brought yet."""


@dataclass(frozen=True)
class ModelReference:
    """A model that is not loaded: a folder, or a repository at a commit. A folder with a ``base`` is an adapter on that base."""

    source: Path | str
    commit: str | None = None
    base: Self | None = None
    called: str | None = field(default=None, compare=False)
    """What error texts call a model that somebody else made, as ``eval.models.mine: /a/folder``; nothing for our own."""

    @property
    def label(self) -> str:
        """What error texts call it."""
        return self.called or str(self.source)

    @property
    def way_out(self) -> str:
        """What to do about a fault in its files."""
        if self.called is None and isinstance(self.source, Path):
            return WAY_OUT
        if self.base:
            return "name an adapter that was trained on our base, or another model"
        return "mend its files where they come from, or name another model"

    @classmethod
    def read(cls, folder: Path, base: Self | None = None, entry: str | None = None) -> Self:
        """The model in ``folder``: its weights, the repository that its pointer names, or an adapter on ``base``.

        ``entry`` is where the parameters name a folder that no stage makes, as ``eval.models.mine``.

        Raises:
            UserError: for a folder that does not hold a whole model, because transformers would take its name for a repository;
                and for an adapter without a ``base``, because transformers would fetch the base that the adapter names, at
                whatever commit it is.
        """
        pointer = folder / "reference.json"
        if pointer.is_file():
            return cls(*_pointed(pointer))
        adapter = (folder / ADAPTER).is_file()
        reference = cls(folder, base=base if adapter else None, called=f"{entry}: {folder}" if entry else None)
        fault = _missing(folder, NEEDED[:1] if adapter else NEEDED)
        if fault:
            others = f"{WHOLE}, or with an adapter on our base" if base else WHOLE
            brings = others if entry else "'dvc repro' or 'dvc pull' brings the model"
            raise UserError(f"{reference.label}: {fault}; {brings}")
        for path in sorted(folder.iterdir()):
            if path.is_file() and _is_lfs_pointer(path):
                raise UserError(
                    f"{reference.label}: {path.name} is a Git LFS pointer and not the file itself; 'git lfs pull' in that "
                    "folder brings it"
                )
        assert_contained(reference)
        if adapter and base is None:
            raise UserError(
                f"{reference.label}: is an adapter, of which the base is not known; name a folder with a whole model"
            )
        return reference


def assert_contained(reference: ModelReference) -> None:
    """Make sure that the index of the weights in a folder names files of this folder alone: no others are hashed.

    An index that cannot be read is left to the library that loads the model.

    Raises:
        UserError: for one that names a file elsewhere.
    """
    for index in sorted(Path(reference.source).glob("*.index.json")):
        try:
            named = set(json.loads(index.read_bytes())["weight_map"].values())
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
        for name in sorted(map(str, named)):
            if leads_out(name) or "/" in name:
                raise UserError(
                    f"{reference.label}: {index.name} names {name!r}, which is no file of the model's folder; {reference.way_out}"
                )


def _missing(folder: Path, needed: Iterable[str]) -> str | None:
    if not folder.is_dir():
        return "there is no such folder"
    return next((f"holds no {name}" for name in needed if not any(folder.glob(name))), None)


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(LFS)) == LFS


def _pointed(pointer: Path) -> tuple[str, str]:
    """The repository and the commit that the file ``pointer`` names."""
    match read_json(pointer, WAY_OUT):
        case {"source": str(source), "commit": str(commit)} if HUB_NAME.fullmatch(source) and commit:
            return source, commit
        case _:
            raise UserError(f"{pointer}: names no repository at a commit; {WAY_OUT}")


@contextmanager
def readable(reference: ModelReference) -> Iterator[None]:
    """Turn whatever loading a damaged model raises into one sentence. Only the libraries' own code may run in it.

    A file is damaged in more ways than their own classes of errors name: a size below 0, NaN, a list for a mapping.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if of_device(error):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        # transformers has no classes of its own for these errors.
        if "conversion of the weights" in reason:
            reason = "its weights cannot be converted to what its configuration asks for"
        if "contains custom code" in reason:
            reason = "its files ask for code of their own, which is never run; a model that transformers itself knows is read"
        raise UserError(f"{reference.label}: not a readable model ({reason}); {reference.way_out}") from None


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
