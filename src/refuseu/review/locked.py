"""Whether the results of a revision are those that its dvc.lock names.

Half of them lie in Git and half in DVC, so one half can be of another day: after ``git checkout`` without ``dvc checkout``, after
an edit by hand, or where a commit took only a part. What is said of them would then be said of nothing that ever was.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.review.causes import broken_file
from refuseu.review.processes import reason, run_module
from refuseu.review.revisions import bytes_at, mapping_at

STAGE = "eval"
LOCK = Path("dvc.lock")
EVALUATION, ROWS = Path("data/eval"), Path("plots/eval.json")
"""What a verdict is made of: the answers, which DVC holds, and the numbers by model and language, which Git holds."""
NOT_IN_CACHE = "not in cache"
ANEW = f"'dvc repro {STAGE}' makes it anew"


class LockedOutput(BaseModel):
    path: str
    md5: str | None = None


class LockedStage(BaseModel):
    outs: list[LockedOutput] = []


class Lock(BaseModel):
    """What is read of a dvc.lock."""

    stages: dict[str, LockedStage] = {}


def rows_at(revision: str | None) -> bytes:
    """The file ``ROWS`` at a revision, or in the workspace for ``None``.

    Raises:
        UserError: when it is not there, or not what dvc.lock of the same revision names.
    """
    content = bytes_at(revision, ROWS)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() == _named(revision, ROWS):
        return content
    if revision is None:
        raise _differs([ROWS])
    raise UserError(
        f"{ROWS} at {revision!r} is not what dvc.lock names there; {ANEW}: run it there and commit both, or name another revision"
    )


def _named(revision: str | None, path: Path) -> str | None:
    """The MD5 that dvc.lock at a revision has for an output of the stage; nothing where it knows no such output."""
    where = f"{LOCK} at {revision or 'the workspace'!r}"
    lock = validated(Lock, mapping_at(revision, LOCK), where, f"'git restore {LOCK}' brings that of the last commit")
    outputs = lock.stages[STAGE].outs if STAGE in lock.stages else []
    return next((each.md5 for each in outputs if each.path == path.as_posix()), None)


def check_workspace() -> None:
    """See that every output of the stage that lies in the workspace is what dvc.lock names. What it depends on may differ.

    Raises:
        UserError: when one is not, or DVC cannot tell, as while it runs the stage.
    """
    # Beside these mappings there are bare words, such as "changed command".
    said = [each for each in _asked("status", STAGE).get(STAGE, []) if isinstance(each, dict)]
    found = {path: how for each in said for path, how in each.get("changed outs", {}).items()}
    changed = [Path(path) for path, how in found.items() if how != NOT_IN_CACHE or _is_changed(path)]
    if changed:
        raise _differs(sorted(changed))


def _is_changed(path: str) -> bool:
    """Whether the workspace differs from dvc.lock in an output that DVC's cache lacks, of which ``dvc status`` says no more."""
    return "uncommitted" in _asked("data", "status", path)


def _asked(*command: str) -> dict[str, Any]:
    asked = run_module("dvc", *command, "--json")
    if asked.returncode:
        raise UserError(broken_file() or f"dvc {command[0]}: {reason(asked)}")
    content: dict[str, Any] = json.loads(asked.stdout)
    return content


def _differs(paths: list[Path]) -> UserError:
    back = (
        f"'dvc checkout {STAGE}' brings it ('dvc pull {STAGE}' from the remote)"
        if EVALUATION in paths
        else f"'git restore {' '.join(map(str, paths))}' brings that of the last commit"
    )
    return UserError(f"{', '.join(map(str, paths))}: not what dvc.lock names, so not compared; {back}, {ANEW}")
