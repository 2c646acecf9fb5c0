"""What the tests are kept from, wherever they are started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

pytestmark = pytest.mark.slow

FOLDERS = ("tests", "tests_models")
MAKES_A_REPOSITORY = """
import runpy, subprocess, sys
runpy.run_path(sys.argv[1])
subprocess.run(["git", "init", "-q", sys.argv[2]], check=True)
subprocess.run(["git", "-C", sys.argv[2], "config", "core.bare", "true"], check=True)
"""


def below_a_hook(tmp_path: Path, repository: Path, script: str, *arguments: str) -> None:
    """Let Git run a script as its hook, by a commit in ``repository``."""
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", *FOLDERS))
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (tmp_path / "script.py").write_text(script)
    command = " ".join(f"'{each}'" for each in (sys.executable, str(tmp_path / "script.py"), *arguments))
    (hooks / "pre-commit").write_text(f"#!/bin/sh\nexec {command}\n")
    (hooks / "pre-commit").chmod(0o755)
    committing = ["git", "-c", f"core.hooksPath={hooks}", "commit", "-q", "--allow-empty", "-m", "hook"]
    subprocess.run(committing, cwd=repository, env={**os.environ, **names, "PYTHONPATH": path}, check=True)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("kind", ["repository", "worktree"])
def test_a_repository_that_a_test_makes_is_its_own_below_a_git_hook(kind: str, folder: str, tmp_path: Path) -> None:
    """Git tells a hook in a worktree more of its repository than one in a plain clone."""
    real, made = tmp_path / "real", tmp_path / "made"
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "init", "-q", str(real)], check=True)
    first = ["git", "-C", str(real), "commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(first, env={**os.environ, **names}, check=True)
    if kind == "worktree":
        subprocess.run(["git", "-C", str(real), "worktree", "add", "-q", str(tmp_path / "tree")], check=True)
    before = (real / ".git/config").read_text()
    committed_in = tmp_path / "tree" if kind == "worktree" else real
    below_a_hook(tmp_path, committed_in, MAKES_A_REPOSITORY, str(ROOT / folder / "conftest.py"), str(made))
    assert (real / ".git/config").read_text() == before
    assert (made / ".git/config").is_file()
