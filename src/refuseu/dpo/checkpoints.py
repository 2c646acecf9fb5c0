"""Checkpoints of a training, so that one that was killed goes on from the last.

They lie outside all DVC outputs, in ``.cache/refuseu/checkpoints/<hash>`` below ``$DVC_ROOT``. The hash is of everything that
decides the training, so none is taken up by another.
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

from refuseu.core.errors import UserError

if TYPE_CHECKING:
    from transformers import TrainerCallback

LIBRARIES = ("accelerate", "datasets", "peft", "torch", "transformers", "trl")
WHOLE = "whole"
"""A file in a checkpoint of which everything is written."""
KEPT = 2
"""Checkpoints that lie side by side: the last whole one stays until the next is."""


def checkpoint_folder(**decides: Any) -> Path:
    """Where the checkpoints lie of the training that ``decides`` describes, as JSON; this room's code and the libraries that
    it calls decide it too.
    """
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(__file__).parent.glob("*.py"))]
    everything = {**decides, "code": code, "libraries": [version(name) for name in LIBRARIES]}
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    return Path(os.environ.get("DVC_ROOT", ".")) / ".cache" / "refuseu" / "checkpoints" / digest


@contextmanager
def kept(folder: Path, first: bool) -> Iterator[None]:
    """Keep ``folder`` while a training runs and where it is killed; remove it where the training ends, also with a sentence.

    The first process of a training waits for another training that uses the same folder.
    """
    handle = _locked(folder) if first else None
    try:
        yield
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if handle:
            os.close(handle)
    if first:
        shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int:
    """An open handle of the folder that no other process locks; it lasts as long as the handle."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Who had it may have removed it.
        if folder.is_dir() and os.path.samestat(os.fstat(handle), folder.stat()):
            return handle
        os.close(handle)


def newest(folder: Path) -> Path | None:
    """The last checkpoint below ``folder`` that was written to its end."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def marking() -> "TrainerCallback":
    """Marks a checkpoint as whole when all processes have written their part of it."""
    from accelerate import PartialState
    from transformers import TrainerCallback

    class Marking(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        def on_save(self, arguments: Any, state: Any, _: Any, **__: Any) -> None:
            PartialState().wait_for_everyone()
            if state.is_world_process_zero:
                (Path(arguments.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    return Marking()
