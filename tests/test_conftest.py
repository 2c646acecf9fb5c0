"""What the tests are kept from, wherever they are started."""

import os
import subprocess
import sys
from pathlib import Path

from repository import ROOT

MAKES_A_REPOSITORY = """
import runpy, subprocess, sys
runpy.run_path(sys.argv[1])
subprocess.run(["git", "init", "-q", sys.argv[2]], check=True)
subprocess.run(["git", "-C", sys.argv[2], "config", "core.bare", "true"], check=True)
"""


def test_a_repository_that_a_test_makes_is_its_own_below_a_git_hook(tmp_path: Path) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    subprocess.run(["git", "init", "-q", str(real)], check=True)
    before = (real / ".git/config").read_text()
    hook = {"GIT_DIR": str(real / ".git"), "GIT_WORK_TREE": str(real), "GIT_INDEX_FILE": str(real / ".git/index")}
    command = [sys.executable, "-c", MAKES_A_REPOSITORY, str(ROOT / "tests/conftest.py"), str(made)]
    subprocess.run(command, env={**os.environ, **hook}, check=True)
    assert (real / ".git/config").read_text() == before
    assert (made / ".git/config").is_file()
