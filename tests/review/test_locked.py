"""Results are spoken of only where they are what dvc.lock names."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.review.locked import check_workspace, rows_at

pytestmark = pytest.mark.slow

DVC = str(Path(sys.executable).parent / "dvc")
PIPELINE = """
stages:
  eval:
    cmd: "true"
    deps: [code.py]
    outs:
      - data/eval
      - plots/eval: {cache: false}
      - plots/eval.json: {cache: false}
"""
IGNORED = "/data/eval/\n"
CHECKOUT = "not what dvc.lock names, so not compared; 'dvc checkout eval' brings it ('dvc pull eval' from the remote), "
ANEW = "'dvc repro eval' makes it anew"


def typed(*command: str) -> None:
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(command, env={**os.environ, **names}, check=True, capture_output=True)


def committed(rows: str, answers: str | None = None) -> None:
    """A commit with these numbers; with the answers, it is a whole one."""
    Path("plots/eval.json").write_text(rows)
    if answers is not None:
        Path("data/eval/answers").write_text(answers)
        typed(DVC, "commit", "--quiet", "--force", "eval")
    typed("git", "add", "-A")
    typed("git", "commit", "-qm", rows)
    typed("git", "tag", rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commits ``first`` and ``second``, each whole, and ``half``, which has other numbers with the dvc.lock of ``second``."""
    root = tmp_path_factory.mktemp("locked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for folder in ("data/eval", "plots/eval"):
            Path(folder).mkdir(parents=True)
        for name, text in {
            "dvc.yaml": PIPELINE,
            "code.py": "",
            ".gitignore": IGNORED,
            "plots/eval/a.json": "1",
        }.items():
            Path(name).write_text(text)
        typed("git", "init", "-q", "-b", "main")
        typed(DVC, "init", "-q")
        committed("first", "yes")
        committed("second", "no")
        committed("half")
        typed("git", "checkout", "-q", "second")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """At ``second``, and as it was committed."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "project", symlinks=True))
    return Path()


def test_what_the_stage_depends_on_may_differ(project: Path) -> None:
    (project / "code.py").write_text("other")
    check_workspace()
    assert rows_at(None) == b"second"


def test_git_checkout_without_dvc_checkout(project: Path) -> None:
    """The message is the way out: what it names brings the answers that belong to the numbers."""
    typed("git", "checkout", "-q", "first")
    with pytest.raises(UserError) as raised:
        check_workspace()
    assert raised.value.message == f"data/eval: {CHECKOUT}{ANEW}"
    typed(DVC, "checkout", "eval")
    check_workspace()
    assert (project / "data/eval/answers").read_text() == "yes"


@pytest.mark.parametrize("name", ["plots/eval.json", "plots/eval/a.json"])
def test_an_edit_of_what_git_holds(name: str, project: Path) -> None:
    (project / name).write_text("edited")
    with pytest.raises(UserError) as raised:
        check_workspace()
    output = name.removesuffix("/a.json")
    assert raised.value.message == (
        f"{output}: not what dvc.lock names, so not compared; 'git restore {output}' brings that of the last commit, {ANEW}"
    )
    typed("git", "restore", output)
    check_workspace()


def test_numbers_that_are_not_those_of_the_lock_are_not_read(project: Path) -> None:
    (project / "plots/eval.json").write_text("edited")
    with pytest.raises(UserError, match=r"^plots/eval\.json: not what dvc\.lock names"):
        rows_at(None)


def test_an_evaluation_that_is_gone_as_in_the_middle_of_a_run(project: Path) -> None:
    shutil.rmtree("data/eval")
    with pytest.raises(UserError, match=r"^data/eval: not what dvc\.lock names"):
        check_workspace()


def test_a_run_that_holds_the_outputs(project: Path) -> None:
    held = {"write": {str(Path("data/eval").absolute()): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    with pytest.raises(UserError, match="another DVC works in this folder"):
        check_workspace()


@pytest.mark.parametrize("lock", [None, "schema: '2.0'\nstages: {}\n"], ids=["no lock", "another stage's"])
def test_a_lock_without_the_stage(lock: str | None, project: Path) -> None:
    (project / "dvc.lock").unlink()
    if lock:
        (project / "dvc.lock").write_text(lock)
    with pytest.raises(UserError, match=r"^data/eval, plots/eval, plots/eval\.json: not what dvc\.lock names"):
        check_workspace()
    with pytest.raises(UserError, match=r"^(dvc\.lock: cannot be read|plots/eval\.json: not what dvc\.lock names)"):
        rows_at(None)


def test_a_lock_with_the_marks_of_a_conflict(project: Path) -> None:
    lock = project / "dvc.lock"
    lock.write_text(f"<<<<<<< HEAD\n{lock.read_text()}")
    with pytest.raises(UserError, match=r"^dvc\.lock: line 1 marks a conflict"):
        check_workspace()


def test_a_lock_that_is_none(project: Path) -> None:
    (project / "dvc.lock").write_text("stages: [eval]\n")
    with pytest.raises(UserError, match=r"^dvc\.lock at 'the workspace': stages: "):
        rows_at(None)


def test_a_cache_that_is_gone_makes_nothing_differ(project: Path) -> None:
    shutil.rmtree(".dvc/cache")
    check_workspace()
    (project / "data/eval/answers").write_text("other")
    with pytest.raises(UserError, match=r"^data/eval: not what dvc\.lock names"):
        check_workspace()


def test_numbers_at_a_revision_are_those_of_its_lock(project: Path) -> None:
    assert (rows_at("first"), rows_at("second")) == (b"first", b"second")
    with pytest.raises(
        UserError, match=r"^plots/eval\.json at 'half' is not what dvc\.lock names there; 'dvc repro eval'"
    ):
        rows_at("half")
