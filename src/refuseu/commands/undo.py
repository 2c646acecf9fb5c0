"""Takes parameters, results and outputs back to the last commit: ``make undo``, after an experiment, a failure or Ctrl-C.

What it takes away of your files is kept in Git's stash. Your edits of code, profiles and texts, and your own new files, stay.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from refuseu.core.errors import UserError
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.dpo.checkpoints import remove_locked
from refuseu.review.processes import git
from refuseu.training import LIVE

RESTORED = ("params.yaml", "dvc.lock", "metrics", "plots", "report.md")
"""What an experiment writes of the files that Git tracks."""
MESSAGE = "make undo"
UNDER_WAY = "refs/exps/exec/EXEC_BASELINE"
"""DVC has it while an experiment runs, and after one that was killed."""

Outs = dict[str, bool]
"""The outputs of all stages by their paths, and whether DVC's cache holds them (else Git does)."""


def undo() -> None:
    """Restore ``RESTORED`` and DVC's outputs, remove outputs that only the experiment has, and say what is done and what stays.

    Raises:
        UserError: during a merge, while DVC runs, outside a repository with a commit, and when DVC cannot restore.
    """
    from dvc.repo import Repo, lock_repo
    from dvc.rwlock import rwlock

    with _dvc_says(), Repo() as repo:
        hardlink = repo.config["core"].get("hardlink_lock", False)
        # The second lock, since DVC gives the first one back while a stage's command runs.
        with lock_repo(repo), rwlock(repo.tmp_dir, repo.fs, MESSAGE, [], [repo.root_dir], hardlink):
            _return_to_branch()
            made = _outs(repo)
            back, left = _changed()
            say(f"Back to the last commit: {', '.join(back) or 'nothing that Git tracks'}, and the outputs of DVC")
            if back:
                _git("stash", "push", "--quiet", "--message", MESSAGE, "--", *back)
                say("What these files held is kept: 'git stash show -p' shows it, 'git stash pop' brings it back")
        known = _outs(repo)
        _remove(set(made) - set(known))
        shutil.rmtree(LIVE, ignore_errors=True)
        folders = [path for path, cached in known.items() if not cached and Path(path).is_dir()]
        if folders:
            _git("clean", "-d", "--force", "--quiet", "--", *folders)
        repo.checkout(force=True, allow_missing=True)
    missing = [path for path, cached in known.items() if cached and not Path(path).exists()]
    if missing:
        say(f"Not in DVC's cache: {', '.join(missing)}; 'dvc pull' brings them, or 'make repro' makes them anew")
    if left:
        say(f"Left as they are, for they are your edits: {', '.join(left)}; 'git diff' shows them")


def _return_to_branch() -> None:
    """DVC leaves the branch while an experiment runs; where it was killed, the next commit would belong to no branch."""
    if (
        git("symbolic-ref", "--quiet", "HEAD").returncode == 0
        or git("rev-parse", "--quiet", "--verify", UNDER_WAY).returncode
    ):
        return
    branch = git("rev-parse", "--symbolic-full-name", "@{-1}").stdout.strip()
    if branch.startswith("refs/heads/") and _git("rev-parse", branch) == _git("rev-parse", "HEAD"):
        _git("symbolic-ref", "HEAD", branch)
        _git("update-ref", "-d", UNDER_WAY)


def _outs(repo: Any) -> Outs:
    """None where a parameter makes the pipeline unreadable: its outputs are then found by the next run."""
    from dvc.exceptions import DvcException

    repo._reset()
    try:
        return {str(Path(out.fs_path).relative_to(Path.cwd())): out.use_cache for out in repo.index.outs}
    except DvcException:
        return {}


def _changed() -> tuple[list[str], list[str]]:
    """The tracked files that differ from the last commit: those to restore, and the user's other edits.

    Raises:
        UserError: while a merge is under way.
    """
    entries = _git("status", "--porcelain", "--untracked-files=no", "--no-renames", "-z", "--", ".").split("\0")
    root = Path(_git("rev-parse", "--show-toplevel").strip())
    changed = {str((root / entry[3:]).relative_to(Path.cwd())): entry[:2] for entry in entries if entry}
    conflicts = [path for path, state in changed.items() if "U" in state or state in ("AA", "DD")]
    if conflicts:
        raise UserError(
            f"undo: a merge is under way, with conflicts in {conflicts[0]}; 'git merge --abort' takes it back"
        )
    back = [path for path in changed if any(Path(path).is_relative_to(each) for each in RESTORED)]
    return back, sorted(changed.keys() - set(back))


def _remove(paths: Collection[str]) -> None:
    """Remove outputs of stages that the last commit does not have, and the folder of a config that is empty without them."""
    for path in map(Path, sorted(paths)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _git(*arguments: str) -> str:
    done = git(*arguments)
    if done.returncode:
        raise UserError(f"undo: 'git {arguments[0]}' says: {' '.join(done.stderr.split())}")
    return done.stdout


@contextmanager
def _dvc_says() -> Iterator[None]:
    """Turn DVC's errors into one sentence."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    try:
        yield
    except LockError:
        raise UserError("undo: DVC runs in this folder; wait until it ends, or stop it by Ctrl-C") from None
    except DvcException as error:
        raise UserError(f"undo: DVC says: {' '.join(str(error).split())}") from None


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    # While dvc.lock still names the models that they were for.
    remove_locked()
    undo()


if __name__ == "__main__":
    main()
