"""Whether the results of a revision are those that its dvc.lock names.

Git holds both, so one can be of another day: after an edit by hand, in the middle of a run, or where a commit took only a part.
What is said of them would then be said of nothing that ever was.
"""

from pathlib import Path

from pydantic import BaseModel

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.locked import LOCK, hash_of_files, md5
from refuseu.review.causes import broken_file
from refuseu.review.revisions import bytes_at, files_at, mapping_at

STAGE = "eval"
ROWS, OUTCOMES = Path("plots/eval.json"), Path("plots/eval/outcomes.json")
"""What a verdict is made of: the numbers by model and language, and the outcomes of every question."""
ANEW = f"'dvc repro {STAGE}' makes it anew"


class LockedOutput(BaseModel):
    path: str
    md5: str | None = None


class LockedStage(BaseModel):
    params: dict[str, object] = {}
    """By file, the values of the parameters that the stage read."""
    outs: list[LockedOutput] = []


class Lock(BaseModel):
    """What is read of a dvc.lock."""

    stages: dict[str, LockedStage] = {}


def lock_at(revision: str | None) -> Lock:
    """The dvc.lock at a revision, or in the workspace for ``None``.

    Raises:
        UserError: when it is not there, or is none.
    """
    said = broken_file() if revision is None else None
    if said:
        raise UserError(said)
    where = f"{LOCK} at {revision or 'the workspace'!r}"
    return validated(Lock, mapping_at(revision, LOCK), where, f"'git restore {LOCK}' brings that of the last commit")


def locked_at(revision: str | None, path: Path) -> bytes:
    """The file ``path`` that the stage wrote, at a revision, or in the workspace for ``None``.

    Raises:
        UserError: when it is not there, or its output is not what dvc.lock of the same revision names.
    """
    content = bytes_at(revision, path)
    lock = lock_at(revision)
    named = {Path(each.path): each.md5 for each in lock.stages.get(STAGE, LockedStage()).outs}
    output = path if path in named else path.parent
    if output in named and named[output] == (md5(content) if output == path else _md5_of_folder(revision, output)):
        return content
    if revision is None:
        back = f"'git restore {output}' brings that of the last commit"
        raise UserError(f"{output}: not what dvc.lock names, so not compared; {back}, {ANEW}")
    raise UserError(
        f"{output} at {revision!r} is not what dvc.lock names there; {ANEW}: run it there and commit both, "
        "or name another revision"
    )


def _md5_of_folder(revision: str | None, folder: Path) -> str:
    """As DVC names a folder: by the list of its files."""
    files = {path.relative_to(folder).as_posix(): path for path in files_at(revision, folder)}
    return hash_of_files({name: md5(bytes_at(revision, path)) for name, path in files.items()})
