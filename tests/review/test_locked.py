"""Results are spoken of only where they are what dvc.lock names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.review.locked import OUTCOMES, ROWS, locked_at

pytestmark = pytest.mark.slow

DVC = str(Path(sys.executable).parent / "dvc")
PIPELINE = """
stages:
  eval:
    cmd: "true"
    deps: [code.py]
    outs:
      - plots/eval: {cache: false}
      - plots/eval.json: {cache: false}
"""
ANEW = "'dvc repro eval' makes it anew"


def typed(*command: str) -> None:
    names = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(command, env={**os.environ, **names}, check=True, capture_output=True)


def committed(text: str, whole: bool = True) -> None:
    """A commit with these numbers and outcomes; with their dvc.lock, it is a whole one."""
    ROWS.write_text(text)
    OUTCOMES.write_text(f"{text} outcomes")
    if whole:
        typed(DVC, "commit", "--quiet", "--force", "eval")
    typed("git", "add", "-A")
    typed("git", "commit", "-qm", text)
    typed("git", "tag", text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commits ``first`` and ``second``, each whole, and ``half``, which has other numbers with the dvc.lock of ``second``."""
    root = tmp_path_factory.mktemp("locked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Path("plots/eval/deeper").mkdir(parents=True)
        for name, text in {"dvc.yaml": PIPELINE, "code.py": "", "plots/eval/deeper/ä b.json": "1"}.items():
            Path(name).write_text(text)
        typed("git", "init", "-q", "-b", "main")
        typed(DVC, "init", "-q")
        committed("first")
        committed("second")
        committed("half", whole=False)
        typed("git", "checkout", "-q", "second")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """At ``second``, and as it was committed."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "project", symlinks=True))
    return Path()


def test_a_file_and_a_folder_are_named_as_dvc_names_them(project: Path) -> None:
    """What the stage depends on may differ, and no cache is needed."""
    (project / "code.py").write_text("other")
    shutil.rmtree(".dvc/cache", ignore_errors=True)
    for revision in ("first", "second"):
        assert locked_at(revision, ROWS) == revision.encode()
        assert locked_at(revision, OUTCOMES) == f"{revision} outcomes".encode()
    assert (locked_at(None, ROWS), locked_at(None, OUTCOMES)) == (b"second", b"second outcomes")


@pytest.mark.parametrize("name", ["plots/eval.json", "plots/eval/outcomes.json", "plots/eval/deeper/ä b.json"])
def test_an_edit_in_the_workspace(name: str, project: Path) -> None:
    (project / name).write_text("edited")
    output, asked = ("plots/eval.json", ROWS) if name == "plots/eval.json" else ("plots/eval", OUTCOMES)
    with pytest.raises(UserError) as raised:
        locked_at(None, asked)
    assert raised.value.message == (
        f"{output}: not what dvc.lock names, so not compared; 'git restore {output}' brings that of the last commit, {ANEW}"
    )
    typed("git", "restore", output)
    locked_at(None, asked)


def test_a_file_too_many_or_one_that_is_gone_as_in_the_middle_of_a_run(project: Path) -> None:
    (project / "plots/eval/more.json").write_text("1")
    with pytest.raises(UserError, match=r"^plots/eval: not what dvc\.lock names"):
        locked_at(None, OUTCOMES)
    shutil.rmtree("plots/eval")
    with pytest.raises(UserError, match=r"^plots/eval/outcomes\.json: cannot be read"):
        locked_at(None, OUTCOMES)


@pytest.mark.parametrize("path", [ROWS, OUTCOMES])
def test_a_commit_of_one_half(path: Path, project: Path) -> None:
    with pytest.raises(
        UserError, match=r" at 'half' is not what dvc\.lock names there; 'dvc repro eval' makes it anew: run it"
    ):
        locked_at("half", path)


@pytest.mark.parametrize("lock", [None, "schema: '2.0'\nstages: {}\n"], ids=["no lock", "another stage's"])
def test_a_lock_without_the_stage(lock: str | None, project: Path) -> None:
    (project / "dvc.lock").unlink()
    if lock:
        (project / "dvc.lock").write_text(lock)
    with pytest.raises(UserError, match=r"^(dvc\.lock: cannot be read|plots/eval: not what dvc\.lock names)"):
        locked_at(None, OUTCOMES)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<<<<<<< HEAD\n{}", r"^dvc\.lock: line 1 marks a conflict"),
        ("stages: [eval]\n", r"^dvc\.lock: is cut off or damaged"),
    ],
)
def test_a_lock_that_is_none(written: str, said: str, project: Path) -> None:
    lock = project / "dvc.lock"
    lock.write_text(written.replace("{}", lock.read_text()))
    with pytest.raises(UserError, match=said):
        locked_at(None, ROWS)
