"""Checkpoints of a training, from which a training that was killed continues.

They lie outside all DVC outputs, in ``.cache/refuseu/checkpoints/<hash>`` below ``$DVC_ROOT``. The hash covers everything that
decides the training, so no other training takes them up. The last one stays until DVC has noted the model in ``dvc.lock``: until
then a full disk, or a signal, may still cost the model.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refuseu.core.errors import UnwritableError, UserError
from refuseu.core.files import kept_folder, write_json
from refuseu.core.locked import LOCK, hash_of_folder, locked_hash
from refuseu.core.terminal import say
from refuseu.weights.identity import file_hash

if TYPE_CHECKING:
    from transformers import TrainerCallback

LIBRARIES = ("accelerate", "datasets", "peft", "torch", "transformers", "trl")
WHOLE = "whole.json"
"""The file that is written last into a checkpoint: the SHA-256 of each of its files."""
ENDED = "ended.json"
"""The file that is written when a training has ended: the model that it saved, and the ``dvc.lock`` that will name it."""
KEPT = 2
"""Checkpoints that are kept at once: the last whole one stays until the next one is whole."""


def checkpoint_folder(**decides: Any) -> Path:
    """The folder for the checkpoints of the training that ``decides`` describes in values that JSON knows.

    The code of this room and the versions of the libraries that it calls are part of the hash too.
    """
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(__file__).parent.glob("*.py"))]
    everything = {**decides, "code": code, "libraries": [version(name) for name in LIBRARIES]}
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    return _all() / digest


def _all() -> Path:
    return kept_folder() / "checkpoints"


@contextmanager
def kept(folder: Path, first: bool, out: Path) -> Iterator[None]:
    """Keep ``folder`` while a training runs, when it is killed, and when its model cannot be written in ``out``.

    Remove it when the training stops with another ``UserError``; and when it ends: under DVC, only once ``dvc.lock`` names the
    model. The first process of a training waits until no other training uses the same folder.
    """
    if first:
        remove_locked()
    handle = _locked(folder) if first else None
    try:
        if first:
            (folder / ENDED).unlink(missing_ok=True)
        yield
        if first:
            _end(folder, out)
    except UnwritableError:
        raise
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if handle:
            os.close(handle)


def _end(folder: Path, out: Path) -> None:
    """Note which model was made, for ``remove_locked``. Without DVC nobody writes a ``dvc.lock``, and ``folder`` goes at once."""
    if "DVC_STAGE" not in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
        return
    made = {"lock": str(LOCK.absolute()), "out": out.as_posix(), "md5": hash_of_folder(out)}
    write_json(made, folder / ENDED)


def remove_locked() -> None:
    """Remove the checkpoints of trainings that ended and whose model DVC has noted in ``dvc.lock``.

    That of a queued experiment goes with its copy of the workspace, and its checkpoints with it.
    """
    for note in _all().glob(f"*/{ENDED}"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            made = json.loads(note.read_text(encoding="utf-8"))
            lock = Path(made["lock"])
            if not lock.is_file() or locked_hash(made["out"], lock) == made["md5"]:
                shutil.rmtree(note.parent, ignore_errors=True)


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
    return max((path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")), key=_step, default=None)


def remove_damaged(folder: Path, stage: str) -> None:
    """Leave only checkpoints below ``folder`` of which every file is what was written, so that ``newest`` is one of them.

    Those that a kill left half written go without a word, and a damaged one with a sentence that begins with ``stage``.
    """
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        fault = _fault(checkpoint)
        if fault is None:
            continue
        if (checkpoint / WHOLE).exists():
            say(f"{stage}: {checkpoint}: {fault}; the training goes on from an earlier one", err=True)
        shutil.rmtree(checkpoint, ignore_errors=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or ``None`` where all of its files are what was written."""
    try:
        written = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        hashes = _hashes(checkpoint)
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    if not isinstance(written, dict) or not written:
        return f"{WHOLE} is damaged"
    wrong = next((name for name in written if hashes.get(name) != written[name]), None)
    return wrong and f"{wrong} is {'damaged' if wrong in hashes else 'missing'}"


def _hashes(checkpoint: Path) -> dict[str, str]:
    """The SHA-256 of each file of a checkpoint but ``WHOLE``, by its path in it."""
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path != checkpoint / WHOLE]
    return {path.relative_to(checkpoint).as_posix(): file_hash(path) for path in files}


def marking() -> "TrainerCallback":
    """A callback that marks a checkpoint as whole when all processes have written their part of it."""
    from accelerate import PartialState
    from transformers import TrainerCallback

    class Marking(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        def on_save(self, arguments: Any, state: Any, _: Any, **__: Any) -> None:
            PartialState().wait_for_everyone()
            if state.is_world_process_zero:
                checkpoint = Path(arguments.output_dir) / f"checkpoint-{state.global_step}"
                (checkpoint / WHOLE).unlink(missing_ok=True)
                write_json(_hashes(checkpoint), checkpoint / WHOLE)

    return Marking()
