"""What Git and DVC really say, and what is made of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from refuseu.commands import repro
from refuseu.core.errors import UserError
from refuseu.review.causes import broken_file, known_cause
from refuseu.review.processes import git, reason, run_module

HOLDING = """
import time
from dvc.repo import Repo
with Repo().lock:
    print("held", flush=True)
    time.sleep(600)
"""
CONFLICT = "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n=======\nstages: {a: 1}\n>>>>>>> other\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: echo 1 > x\n    outs: [x]\n")
    for arguments in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(arguments, check=True)
    assert not run_module("dvc", "repro", "-q").returncode
    return tmp_path


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml", "params.yaml"])
@pytest.mark.parametrize(
    ("text", "fault"), [(CONFLICT, "line 2 marks a conflict"), ("", "is empty"), (" \n", "is empty")]
)
def test_a_file_that_dvc_cannot_read_is_named_with_the_way_back(
    text: str, fault: str, name: str, project: Path
) -> None:
    assert broken_file() is None
    (project / name).write_text(text)
    assert broken_file() == (
        f"{name}: {fault}; 'git restore --source=HEAD --staged --worktree {name}' brings that of the last commit back"
    )


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_a_lock_that_was_left_half_written_is_named_with_the_way_back(share: float, project: Path) -> None:
    lock = project / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[: int(share * lock.stat().st_size)])
    said = broken_file()
    assert said is not None, lock.read_text()
    assert said.startswith("dvc.lock: is cut off or damaged, as by a DVC that was killed while it wrote; 'git restore ")


@pytest.mark.parametrize("left", ["", '{"x": {"wri'])
def test_a_list_of_workers_that_was_left_half_written_is_named(left: str, project: Path) -> None:
    rwlock = project / ".dvc/tmp/rwlock"
    assert broken_file() is None
    rwlock.write_text(left)
    assert broken_file() == ".dvc/tmp/rwlock was left half written; delete it, it is of no further use"
    rwlock.unlink()
    assert not run_module("dvc", "repro", "-q").returncode


def test_make_repro_shows_the_cause_and_where_the_rest_is(project: Path) -> None:
    (project / "dvc.lock").write_text(CONFLICT)
    with pytest.raises(UserError) as error:
        repro.stale_stages()
    assert error.value.message.startswith("dvc.lock: line 2 marks a conflict; 'git restore")
    assert error.value.message.endswith("(all that DVC said: .cache/refuseu/dvc.log)")
    assert "dvc.lock' is invalid" in (project / ".cache/refuseu/dvc.log").read_text()


def test_a_cause_that_is_not_known_is_what_dvc_says_and_not_its_last_line(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: 3\n")
    with pytest.raises(UserError, match=r"^dvc status: './dvc.yaml' validation failed\. .+ \(all that DVC said: "):
        repro.stale_stages()


def test_a_lock_that_another_process_holds(project: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout and holder.stdout.readline()
            said = reason(run_module("dvc", "repro", "--force"))
        finally:
            holder.kill()
    assert said == "another DVC works in this folder; wait until it ends, or stop it by Ctrl-C"


def test_a_lock_that_was_left_half_written(project: Path) -> None:
    (project / ".dvc/tmp/rwlock").write_text("{")
    assert reason(run_module("dvc", "repro", "--force")) == (
        ".dvc/tmp/rwlock was left half written; delete it, it is of no further use"
    )


def test_a_clone_of_another_user(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert reason(git("status")).endswith(f"'git config --global --add safe.directory {project}'")


def test_a_git_that_was_killed(project: Path) -> None:
    (project / ".git/index.lock").touch()
    assert reason(git("add", "params.yaml")).startswith(
        f"{project}/.git/index.lock: another Git works here, or one was killed"
    )


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: unexpected error - [Errno 28] No space left on device: 'x'", "the disk is full; make room there"),
        ("ERROR: failed to push - Unable to locate credentials", "the remote's credentials are missing or not valid"),
        ("An error occurred (AccessDenied) when calling ListObjectsV2", "the remote refuses these credentials"),
    ],
)
def test_disks_and_remotes(said: str, cause: str) -> None:
    found = known_cause(said)
    assert found and found.startswith(cause)


def test_what_is_not_known_has_no_cause() -> None:
    assert known_cause("ERROR: failed to reproduce 'eval': exited with 1") is None
