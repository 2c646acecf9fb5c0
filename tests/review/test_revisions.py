"""Revisions as Git holds them: in a whole clone, in a partial one, in a subfolder, in a worktree, and below a Git hook."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.review.revisions import bring, bytes_at, commit_of, text_at

NAMES = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def typed(folder: Path, *command: str) -> str:
    environment = {**os.environ, **NAMES}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository whose project lies in the subfolder ``project``, with two commits; ``first`` holds other files."""
    root = tmp_path / "origin"
    (root / "project").mkdir(parents=True)
    typed(root, "git", "init", "-q", "-b", "main")
    typed(root, "git", "config", "uploadpack.allowFilter", "true")
    for name in ("first", "second"):
        for number in range(3):
            (root / f"project/{number}.txt").write_text(f"{name} {number}")
        typed(root, "git", "add", "-A")
        typed(root, "git", "commit", "-qm", name)
        typed(root, "git", "tag", name)
    return root


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_partial_clone_gets_all_files_of_a_revision(
    kind: str, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = typed(origin, "git", "rev-parse", "first").strip()
    typed(tmp_path, "git", "clone", "-q", f"--filter={kind}", origin.as_uri(), "partial")
    monkeypatch.chdir(tmp_path / "partial/project")
    assert bring("first") == first
    origin.rename(tmp_path / "elsewhere")
    assert [text_at("first", Path(f"{number}.txt")) for number in range(3)] == ["first 0", "first 1", "first 2"]


def test_a_partial_clone_whose_origin_is_gone_is_told(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(tmp_path, "git", "clone", "-q", "--filter=blob:none", origin.as_uri(), "partial")
    origin.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "partial/project")
    with pytest.raises(
        UserError, match=r"^the files of 'first' are not in this clone \(.*'git fetch --refetch origin'"
    ):
        bring("first")


def test_a_revision_is_what_git_knows_a_branch_of_origin_or_an_experiment(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = typed(origin, "git", "rev-parse", "first").strip()
    typed(origin, "git", "branch", "change", "first")
    typed(tmp_path, "git", "clone", "-q", str(origin), "clone")
    typed(tmp_path / "clone", "git", "update-ref", f"refs/exps/12/{'3' * 38}/slavic", first)
    monkeypatch.chdir(tmp_path / "clone/project")
    assert [commit_of(each) for each in ("first", "HEAD~1", "change", "slavic", first[:7])] == [first] * 5
    for unknown in ("nowhere", "--all", "first:project/0.txt"):
        with pytest.raises(UserError, match=f"^no revision '{unknown}'; 'git fetch origin {unknown}' may bring it$"):
            commit_of(unknown)


def test_files_are_read_from_the_workspace_and_from_git_below_the_projects_own_folder(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(origin / "project")
    Path("0.txt").write_bytes(b"\xff")
    assert (bytes_at(None, Path("0.txt")), bytes_at("first", Path("0.txt"))) == (b"\xff", b"first 0")
    with pytest.raises(UserError, match=r"^9.txt: is not in Git at 'first'$"):
        bytes_at("first", Path("9.txt"))
    with pytest.raises(UserError, match=r"^9.txt: cannot be read"):
        bytes_at(None, Path("9.txt"))


def test_outside_of_a_repository_gits_own_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^git: not a git repository .*; run from the project's root"):
        commit_of("main")


def test_below_a_git_hook_the_repository_is_that_of_the_folder(origin: Path, tmp_path: Path) -> None:
    """In a worktree too, where Git gives hooks the path of the repository that the worktree was made from."""
    other = tmp_path / "other"
    other.mkdir()
    typed(other, "git", "init", "-q")
    typed(origin, "git", "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "first")
    hook = {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / ".git/index"), "GIT_WORK_TREE": str(other)}
    command = [sys.executable, "-m", "refuseu.review.revisions"]
    for folder in (origin, tmp_path / "tree"):
        environment = {**os.environ, **hook, "PYTHONPATH": str(ROOT / "src")}
        found = subprocess.run([*command, "second"], cwd=folder, env=environment, capture_output=True, check=False)
        assert (found.returncode, found.stderr) == (0, b"")
