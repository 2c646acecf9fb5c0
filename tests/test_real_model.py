"""``make real-model`` writes the results of its own run between the marks of its page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import ROOT

from refuseu import real_model
from refuseu.core.errors import UserError
from refuseu.real_model import BEGIN, END, SIZE, TINY, clone, committed, parts, results, run_pipeline, set_values

REPORT = """# Results

## How far to believe this

one

### A table of it

two

## Tables

### Table 2: safety and quality

three

### Paired tests

four

## The data behind

### Rows of every stage

five
"""


def test_the_page_takes_whole_parts_and_single_sections_of_the_report() -> None:
    assert [" ".join(block.split()) for block in parts(REPORT)] == [
        "## How far to believe this one",
        "### A table of it two",
        "### Table 2: safety and quality three",
        "### Rows of every stage five",
    ]


def test_the_page_says_of_which_commit_and_settings_its_figures_are() -> None:
    text = results(REPORT, "0123456789", SIZE, tiny=False)
    assert "of commit `0123456`" in text and "- `params.yaml`: train.seeds = [0, 1]" in text
    assert "tiny" not in text
    assert results(REPORT, "0123456789", TINY, tiny=True).startswith("**This run was tiny")


def test_the_committed_page_has_the_marks() -> None:
    text = (ROOT / real_model.PAGE).read_text()
    assert text.count(BEGIN) == text.count(END) == 1


@pytest.mark.parametrize("values", [SIZE, TINY])
def test_every_parameter_that_is_set_is_one_of_the_projects(values: real_model.Values, tmp_path: Path) -> None:
    for file in values:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text())
    before = {file: yaml.safe_load((ROOT / file).read_text()) for file in values}
    set_values(tmp_path, values)
    for file, changed in values.items():
        content = yaml.safe_load((tmp_path / file).read_text())
        for key, value in changed.items():
            assert at(content, key) == value
            at(before[file], key)  # it was there already
    assert at(yaml.safe_load((tmp_path / "params.yaml").read_text()), "train.single") == []


def at(content: object, key: str) -> object:
    for name in key.split("."):
        assert isinstance(content, dict)
        content = content[name]
    return content


def commands(*lines: str, cwd: Path) -> None:
    for line in lines:
        subprocess.run(line, shell=True, check=True, cwd=cwd, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/code.py").write_text("1\n")
    identity = "git config user.name a && git config user.email a@b.c"
    commands("git init -q", identity, "git add -A", "git commit -qm one", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_change_that_is_not_committed_is_refused(project: Path) -> None:
    first = committed()
    (project / "notes.txt").write_text("not of the code")
    assert committed() == first
    (project / "src/code.py").write_text("2\n")
    with pytest.raises(UserError, match=r"^src/code\.py: changed and not committed"):
        committed()


def test_the_clone_follows_the_commit_and_keeps_its_outputs(project: Path) -> None:
    folder = Path(".cache/real-model")
    clone(committed(), folder)
    (folder / "output").write_text("kept")
    (folder / "src/code.py").write_text("set by the last run\n")
    (project / "src/code.py").write_text("2\n")
    commands("git commit -qam two", cwd=project)
    clone(committed(), folder)
    assert (folder / "src/code.py").read_text() == "2\n" and (folder / "output").read_text() == "kept"


def test_a_stage_that_fails_is_said_with_the_way_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []

    def fail() -> None:
        folders.append(Path.cwd())
        raise UserError("a stage failed, as said above; 'make repro' goes on from there")

    (project / "clone").mkdir()
    monkeypatch.setattr(real_model, "reproduce", fail)
    monkeypatch.setenv("PATH", "/bin")
    with pytest.raises(UserError) as caught:
        run_pipeline(Path("clone"))
    assert (
        caught.value.message
        == "the run in clone stopped (a stage failed, as said above); the same command goes on from there"
    )
    assert folders == [project / "clone"] and Path.cwd() == project
    assert os.environ["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/bin"
