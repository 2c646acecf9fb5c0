"""What the project was at a revision: ``python -m refuseu.review.revisions main`` brings its files into a partial clone.

A partial clone (``git clone --filter=blob:none``) lacks the files of older revisions. Git fetches them when it reads them; DVC,
which reads with a library, would wait for ever.
"""

from pathlib import Path
from typing import Any

import click

from refuseu.core.errors import UserError
from refuseu.core.files import parsed_yaml, without_credentials
from refuseu.review.processes import git, reason, run

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's name for a folder without files, which every repository knows."""


def project() -> tuple[str, str]:
    """The Git repository's root as seen from here, and the way down from it to here (empty, or ending in a slash).

    Raises:
        UserError: when there is none, or Git refuses to read it.
    """
    asked = git("rev-parse", "--show-cdup", "--show-prefix")
    if asked.returncode:
        raise UserError(
            f"git: {reason(asked).removeprefix('fatal: ')}; run from the project's root, in a clone of it that is yours"
        )
    up, prefix = asked.stdout.split("\n")[:2]
    return up or ".", prefix


def commit_of(revision: str) -> str:
    """The commit that ``revision`` names: anything that Git knows, a branch of ``origin``, or an experiment of DVC.

    Raises:
        UserError: when nothing has this name.
    """
    project()
    for name in (revision, f"origin/{revision}"):
        found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if not found.returncode:
            return found.stdout.strip()
    experiments = git("for-each-ref", "--format=%(objectname) %(refname:lstrip=4)", "refs/exps/*/*/*").stdout
    named = [line.split(" ")[0] for line in experiments.splitlines() if line.split(" ")[1] == revision]
    if named:
        return named[0]
    branch = revision.removeprefix("origin/")
    raise UserError(f"no revision {revision!r}; 'git fetch origin {branch}' may bring it")


def bring(revision: str) -> str:
    """Have all files of ``revision`` at hand, and return its commit. What a partial clone lacks is fetched in one go.

    Raises:
        UserError: when there is no such revision, or its files cannot be fetched.
    """
    commit = commit_of(revision)
    read = git("diff", "--shortstat", "--no-ext-diff", "--no-textconv", EMPTY_TREE, commit)
    if read.returncode:
        said = reason(read).removeprefix("fatal: ")
        raise UserError(
            f"the files of {revision!r} are not in this clone ({said}); 'git fetch --refetch origin' brings them"
        )
    return commit


def bytes_at(revision: str | None, path: Path) -> bytes:
    """The file ``path`` of the project at a revision, or in the workspace for ``None``.

    Raises:
        UserError: when it is not there.
    """
    if revision is None:
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    found = run(["git", "cat-file", "blob", f"{commit_of(revision)}:./{path.as_posix()}"])
    if found.returncode:
        raise UserError(f"{path}: is not in Git at {revision!r}")
    return found.stdout


def files_at(revision: str | None, folder: Path) -> list[Path]:
    """The files below a folder of the project, sorted: those in Git at a revision, or those in the workspace for ``None``."""
    if revision is None:
        return sorted(path for path in folder.rglob("*") if path.is_file())
    listed = git("ls-tree", "-r", "-z", "--name-only", commit_of(revision), "--", f"{folder.as_posix()}/")
    return sorted(Path(name) for name in listed.stdout.split("\0") if name)


def text_at(revision: str | None, path: Path) -> str:
    """The same as text; what is not UTF-8 is replaced."""
    return bytes_at(revision, path).decode("utf-8", "replace")


def mapping_at(revision: str | None, path: Path) -> dict[str, Any]:
    """The same as YAML.

    Raises:
        UserError: when it is not there, or is no mapping of keys to values.
    """
    try:
        content = parsed_yaml(text_at(revision, path))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path} at {revision or 'the workspace'!r} is not YAML with a mapping of keys to values")
    return without_credentials(content, path)


@click.command(help=__doc__)
@click.argument("revisions", nargs=-1, required=True)
def main(revisions: tuple[str, ...]) -> None:
    for revision in revisions:
        bring(revision)


if __name__ == "__main__":
    main()
