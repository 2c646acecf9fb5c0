"""Rows travel with a stage's outputs: a small pipeline, which DVC runs, pushes and pulls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from repository import ROOT

from refuseu.store.last_run import FORGOTTEN

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
PIPELINE = """
stages:
  label:
    cmd: python ask.py ${wanted}
    params:
      - wanted
    outs:
      - data/label
"""
ASK = """
import os
import sys
from pathlib import Path
from refuseu.store.rows import Store, row_key
from refuseu.tables.rows import write_rows

wanted = sys.argv[1]

def work(missing):
    with open(os.environ["DVC_ROOT"] + "/asked", "a") as asked:
        for position in missing:
            asked.write(wanted[position])
            yield position, f"{wanted[position]} ā"

store = Store()
assert store.complete([row_key(of=each) for each in wanted], work) == [f"{each} ā" for each in wanted]
write_rows(store, Path("data/label"))
"""


class Project:
    """A repository in which one stage asks for a row a letter of the parameter ``wanted``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def typed(self, *command: str) -> str:
        """What a command says that succeeds."""
        kept = {name: value for name, value in os.environ.items() if name not in ("REFUSEU_STORE", "DVC_ROOT")}
        own = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
        own |= {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            command, cwd=self.folder, env={**kept, **own}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def asked(self, wanted: str, *command: str) -> str:
        """The letters that are asked for when ``command`` has DVC run the stage for the letters ``wanted``."""
        (self.folder / "asked").write_text("")
        (self.folder / "params.yaml").write_text(f"wanted: {wanted}\n")
        self.said = self.typed(*(command or ("dvc", "repro")))
        return (self.folder / "asked").read_text()

    def begin(self, wanted: str) -> str:
        """The letters that the first run asks for; its results are committed."""
        files = {"ask.py": ASK, "dvc.yaml": PIPELINE, ".gitignore": "/data/\n/.cache/\n/asked\n"}
        for name, content in files.items():
            (self.folder / name).write_text(content, encoding="utf-8")
        self.typed("git", "init", "-q", "-b", "main")
        self.typed("dvc", "init", "-q")
        asked = self.asked(wanted)
        self.typed("git", "add", "-A")
        self.typed("git", "commit", "-qm", "run")
        return asked

    def lose_the_store(self) -> None:
        shutil.rmtree(self.folder / ".cache")

    @property
    def table(self) -> Path:
        return self.folder / "data/label/rows.parquet"


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The stage has run for three letters; its results are committed, and the store is gone."""
    made = Project(tmp_path_factory.mktemp("clone"))
    assert made.begin("abc") == "abc"
    made.lose_the_store()
    return made


@pytest.fixture
def project(committed: Project, tmp_path: Path) -> Project:
    return Project(shutil.copytree(committed.folder, tmp_path / "clone"))


def test_without_the_store_only_new_rows_are_asked(project: Project) -> None:
    assert project.asked("dbca") == "d"
    project.lose_the_store()
    assert project.asked("db") == ""


def test_the_rows_are_the_same_bytes_asked_or_travelled(project: Project) -> None:
    before = project.table.read_bytes()
    assert project.asked("cbaac") == ""
    assert project.table.read_bytes() == before
    assert project.asked("ab") == ""
    assert project.table.read_bytes() != before, "rows of other runs do not travel"


def test_an_experiment_elsewhere_finds_them_too(project: Project) -> None:
    assert project.asked("abc", "dvc", "exp", "run", "--temp", "-S", "wanted=abd") == "d"
    project.lose_the_store()
    project.typed("dvc", "exp", "run", "--queue", "-S", "wanted=abe")
    assert project.asked("abc", "dvc", "exp", "run", "--run-all") == "e"


def test_another_clone_pulls_them(project: Project, tmp_path: Path) -> None:
    project.typed("dvc", "remote", "add", "-q", "-d", "shared", str(tmp_path / "shared"))
    project.typed("git", "commit", "-qam", "remote")
    project.typed("dvc", "push")
    project.typed("git", "clone", "-q", ".", str(tmp_path / "other"))
    other = Project(tmp_path / "other")
    # Nothing was pulled: all is asked, and nobody complains.
    assert other.asked("abcd") == "abcd" and "Note" not in other.said
    other.typed("git", "checkout", "-q", ".")
    other.lose_the_store()
    other.typed("dvc", "pull", "--force")
    assert other.asked("abce") == "e"


def test_rows_that_were_to_be_forgotten_are_asked_anew(project: Project) -> None:
    folder = project.folder / ".cache/refuseu"
    folder.mkdir(parents=True)
    shutil.copy(project.folder / "dvc.lock", folder / FORGOTTEN)
    assert project.asked("abcd") == "abcd"
    # Those that were computed since travel again.
    (folder / "rows.sqlite").unlink()
    assert project.asked("abc") == ""


@pytest.mark.parametrize("content", [b"", b"PAR1 no table", None])
def test_a_damaged_table_is_a_note(content: bytes | None, project: Project) -> None:
    if content is None:
        pd.DataFrame({"key": ["a"], "text": ["b"]}).to_parquet(project.folder / "other.parquet")
        content = (project.folder / "other.parquet").read_bytes()
    for path in (project.folder / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            path.chmod(0o644)
            path.write_bytes(content)
    assert project.asked("abcd") == "abcd"
    (note,) = [line for line in project.said.splitlines() if line.startswith("Note: ")]
    assert "the rows of the last run cannot be read (" in note and note.endswith("); they are asked anew")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "dvc.lock").unlink(),
        lambda folder: (folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n  base:\n    cmd: made\n"),
        lambda folder: (folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n"),
        lambda folder: shutil.rmtree(folder / ".dvc/cache"),
        lambda folder: next((folder / ".dvc/cache/files/md5").rglob("*.dir")).write_text("no JSON"),
    ],
)
def test_what_is_not_here_is_nothing(spoil: object, project: Project) -> None:
    assert callable(spoil)
    spoil(project.folder)
    assert project.asked("abcd") == "abcd" and "Note" not in project.said
