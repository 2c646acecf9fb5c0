"""What ``dvc.lock`` says of an output: the MD5 of its content, by which DVC names it."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml

LOCK = Path("dvc.lock")


def locked_hash(out: str, lock: Path) -> str | None:
    """The hash of an output by its path, as a ``dvc.lock`` tells it; ``None`` where it tells none, or cannot be read."""
    with suppress(UserError, LookupError, TypeError, AttributeError):
        stages: dict[str, Any] = read_yaml(lock, "")["stages"]
        outs = {each["path"]: each for stage in stages.values() for each in stage.get("outs", [])}
        return str(outs[out]["md5"])
    return None


def md5(content: bytes) -> str:
    """As DVC names a file in its cache."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def hash_of_files(hashes: Mapping[str, str]) -> str:
    """As DVC names a folder: by the list of its files, which are given by their paths in it with their own hashes."""
    listed = [{"md5": hashes[name], "relpath": name} for name in sorted(hashes)]
    return f"{md5(json.dumps(listed, sort_keys=True).encode())}.dir"


def hash_of_folder(folder: Path) -> str:
    """The same of a folder on this machine, a block of bytes at a time."""
    hashes = {}
    for path in filter(Path.is_file, folder.rglob("*")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        hashes[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return hash_of_files(hashes)
