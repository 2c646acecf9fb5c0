"""Checkpoints of a training, from which a training that was killed continues.

They lie outside all DVC outputs, in ``.cache/refuseu/checkpoints/<hash>`` below ``$DVC_ROOT``. The hash covers everything that
decides the training, so no other training takes them up.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refuseu.core.errors import UnwritableError, UserError
from refuseu.core.files import kept_folder

if TYPE_CHECKING:
    from transformers import TrainerCallback

LIBRARIES = ("accelerate", "datasets", "peft", "torch", "transformers", "trl")
WHOLE = "whole"
"""The name of a file that marks a checkpoint as completely written."""
KEPT = 2
"""Checkpoints that are kept at once: the last whole one stays until the next one is whole."""


def checkpoint_folder(**decides: Any) -> Path:
    """The folder for the checkpoints of the training that ``decides`` describes in values that JSON knows.

    The code of this room and the versions of the libraries that it calls are part of the hash too.
    """
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(__file__).parent.glob("*.py"))]
    everything = {**decides, "code": code, "libraries": [version(name) for name in LIBRARIES]}
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    return kept_folder() / "checkpoints" / digest


@contextmanager
def kept(folder: Path, first: bool) -> Iterator[None]:
    """Keep ``folder`` while a training runs, when it is killed, and when its model cannot be written. Remove it when the
    training ends, also with another ``UserError``.

    The first process of a training waits until no other training uses the same folder.
    """
    handle = _locked(folder) if first else None
    try:
        yield
    except UnwritableError:
        raise
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if handle:
            os.close(handle)
    if first:
        shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int:
    """A handle of the folder with an exclusive lock, which lasts as long as the handle is open."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # The process that held the lock may have removed the folder.
        if folder.is_dir() and os.path.samestat(os.fstat(handle), folder.stat()):
            return handle
        os.close(handle)


def newest(folder: Path) -> Path | None:
    """The last checkpoint below ``folder`` that was written completely, or ``None``."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def marking() -> "TrainerCallback":
    """A callback that marks a checkpoint as whole when all processes have written their part of it."""
    from accelerate import PartialState
    from transformers import TrainerCallback

    class Marking(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        def on_save(self, arguments: Any, state: Any, _: Any, **__: Any) -> None:
            PartialState().wait_for_everyone()
            if state.is_world_process_zero:
                (Path(arguments.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    return Marking()
