"""What make promises: it mends its environment and folders, takes nothing foreign, and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parameter_files import reading_all_parameters
from repository import ROOT
from signals import TIMEOUT, hear_signals, running

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
AUTHOR = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
STRAY = (
    ".DS_Store",
    "._en.yaml",
    "Thumbs.db",
    "desktop.ini",
    "#en.yaml#",
    "en.yaml~",
    ".en.yaml.swp",
    ".en.yaml.swo",
    "en.yaml.orig",
    "en.yaml.rej",
    ".nfs000000001",
    ".idea/workspace.xml",
    ".vscode/settings.json",
    ".ipynb_checkpoints/en.yaml",
    "__pycache__/en.pyc",
)
"""What systems and editors leave in a folder."""
PIPELINE = """
stages:
  split:
    cmd: mkdir -p data/split && touch data/split/texts
    outs: [data/split]
  dpo:
    foreach: [one, two, three]
    do:
      cmd: sh train ${item}
      deps: [data/split]
      outs: ["models/dpo/${item}"]
"""
TRAIN = "test -f quick || { sleep 600 & echo $! > child-$1; wait; }; mkdir -p models/dpo && echo $1 > models/dpo/$1"


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **AUTHOR, "GIT_CEILING_DIRECTORIES": str(folder.parent), **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def typed(folder: Path, *command: str, **variables: str) -> str:
    result = run(folder, *command, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def project(folder: Path) -> Path:
    """A folder with what make and stages/run need, under Git."""
    folder.mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", ".dvcignore", ".gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "stages").mkdir()
    shutil.copy2(ROOT / "stages/run", folder / "stages/run")
    typed(folder, "git", "init", "-q", "-b", "main")
    return folder


def linked(folder: Path) -> Path:
    """A project whose environment is the tests' own."""
    (project(folder) / ".venv").symlink_to(BIN.parent)
    (folder / "src").symlink_to(ROOT / "src")
    return folder


def environment(folder: Path) -> None:
    """An environment of the folder's own, as far as make looks."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    (folder / ".venv/ready").write_text(f"{folder.resolve()}/.venv\n")


def planned(folder: Path, target: str = ".venv/ready") -> list[str]:
    return [line for line in typed(folder, "make", "-n", target).splitlines() if line.startswith(("rm ", "python3 "))]


def test_an_environment_is_made_anew_where_its_folder_was_moved_and_only_there(tmp_path: Path) -> None:
    folder = project(tmp_path / "before")
    assert planned(folder) == ["python3 -m venv .venv"]
    environment(folder)
    assert planned(folder) == []
    moved = folder.rename(tmp_path / "after, with blanks")
    assert planned(moved, "table") == ["rm -rf .venv", "python3 -m venv .venv"]


def test_an_environment_is_made_anew_where_its_python_is_gone(tmp_path: Path) -> None:
    folder = project(tmp_path / "clone")
    environment(folder)
    (folder / ".venv/bin/python").unlink()
    (folder / ".venv/bin/python").symlink_to(tmp_path / "python-that-was-removed")
    assert planned(folder) == ["rm -rf .venv", "python3 -m venv .venv"]


def test_a_linked_environment_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = project(tmp_path / "clone")
    environment(project(tmp_path / "other"))
    (folder / ".venv").symlink_to(tmp_path / "other/.venv")
    assert planned(folder) == []
    assert typed(folder, "git", "status", "--short", ".venv") == ""


MAKE = ("make", "-o", ".venv/ready")
"""Whatever the environment's age."""


def test_the_commands_of_the_row_store(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    store = {"REFUSEU_STORE": str(tmp_path / "rows.sqlite")}
    rows = tmp_path / "rows.jsonl.gz"
    assert typed(folder, *MAKE, "store-export", f"FILE={rows}", "MODEL=org/name", **store) == f"{rows}: 0 rows\n"
    assert typed(folder, *MAKE, "store-import", f"FILE={rows}", **store).startswith(f"{rows}: 0 new rows")
    assert "asked by" in typed(folder, *MAKE, "store-stat", **store)
    assert typed(folder, *MAKE, "store-mend", **store) == f"{store['REFUSEU_STORE']}: whole, 0 rows\n"
    assert "Nothing was removed" in typed(folder, *MAKE, "store-gc", "OPTIONS=--days 7", **store)
    assert "store-export: into which file?" in run(folder, *MAKE, "store-export", **store).stderr


def test_a_variable_that_no_command_takes_is_refused(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    result = run(folder, "make", "-n", "plan", "PROFLE=paper-8b", "MACHINE=h100x8")
    assert result.returncode and not result.stdout
    assert "unknown variable: PROFLE; 'make help' lists all that there are" in result.stderr
    assert "--profile 'paper-8b' --machine 'h100x8'" in typed(
        folder, "make", "-n", "doctor", "PROFILE=paper-8b", "MACHINE=h100x8"
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("PROFILE=paper-8b", "repro takes no PROFILE, which is for rehearse evaluate plan doctor judge-check"),
        ("repro WHAT=", "repro takes no WHAT, which is for publish audit audit-score"),
        ("repro table REV=main", "repro table takes no REV, which is for plots-page"),
        ("repro profile=paper-8b", "unknown variable: profile; 'make help' lists all that there are"),
        ("plan OUTPUT=1", "unknown variable: OUTPUT; "),
    ],
)
def test_a_variable_that_another_command_takes_is_refused(typed: str, said: str, tmp_path: Path) -> None:
    result = run(linked(tmp_path / "clone"), "make", "-n", *typed.split())
    assert result.returncode and not result.stdout
    assert said in result.stderr


def test_every_variable_is_taken_by_the_commands_that_help_names(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    for line in re.findall(r"^## ([A-Z].*)$", (ROOT / "Makefile").read_text(), re.MULTILINE):
        names, *commands, _ = line.split(": ")
        for name in names.split(", "):
            for command in (commands or ["repro, plan"])[0].split(", "):
                assert "takes no" not in run(folder, "make", "-n", command, f"{name}=x").stderr


def test_clean_keeps_the_row_store(tmp_path: Path) -> None:
    folder = project(tmp_path / "clone")
    for name in (".cache/refuseu/rows.sqlite", ".cache/page/package.json", ".venv/ready"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    typed(folder, "make", "clean")
    assert [path.name for path in (folder / ".cache").rglob("*")] == ["refuseu", "rows.sqlite"]
    assert not (folder / ".venv").exists()
    typed(folder, "make", "clean-rows")
    assert not list((folder / ".cache").iterdir())
    # Nor are the rows of the last run taken, which dvc.lock tells (refuseu/store/last_run.py).
    (folder / "dvc.lock").write_text("stages: {}\n", encoding="utf-8")
    store = tmp_path / "my rows" / "rows.sqlite"
    store.parent.mkdir()
    store.touch()
    typed(folder, "make", "clean-rows", f"REFUSEU_STORE={store}")
    assert [path.name for path in store.parent.iterdir()] == ["forgotten.lock"]


def test_without_git_it_is_said_before_anything_is_installed(tmp_path: Path) -> None:
    folder = project(tmp_path / "archive")
    shutil.rmtree(folder / ".git")
    result = run(folder, "make", "repro", PYTHON="false")
    assert result.returncode and not (folder / ".venv").exists()
    assert "git says 'fatal: not a git repository" in result.stderr
    way_out = "git init && git add -A && git commit -m RefusEU"
    assert way_out in result.stderr
    typed(folder, "sh", "-c", way_out)
    typed(folder, "make", "repository")


def test_below_a_git_hook_the_repository_is_that_of_the_folder(tmp_path: Path) -> None:
    folder = project(tmp_path / "hooked")
    typed(folder, "make", "repository", GIT_DIR=str(tmp_path / "elsewhere"), GIT_INDEX_FILE="elsewhere")


def test_a_clone_of_another_user_is_not_to_be_made_a_repository(tmp_path: Path) -> None:
    result = run(project(tmp_path / "clone"), "make", "repository", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert result.returncode
    assert f"git config --global --add safe.directory '{tmp_path}/clone'" in result.stderr
    assert "git init" not in result.stderr


def test_a_folder_of_a_bigger_repository_will_do(tmp_path: Path) -> None:
    typed(tmp_path, "git", "init", "-q")
    folder = linked(tmp_path / "bigger/refuseu")
    shutil.rmtree(folder / ".git")
    typed(folder, "make", "repository", GIT_CEILING_DIRECTORIES="")
    typed(folder, str(BIN / "dvc"), "init", "-q", "--subdir", GIT_CEILING_DIRECTORIES="")
    typed(folder, "make", "--eval=status: ; $(BIN)/python -m dvc status", "status", GIT_CEILING_DIRECTORIES="")


FOREIGN = "raise SystemExit('a foreign click')"


def test_make_takes_no_package_from_the_shell(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    (tmp_path / "click.py").write_text(FOREIGN)
    shown = typed(
        folder,
        "make",
        "--eval=show: ; @$(BIN)/python -c 'import click, os, sys; print(sys.path[1], os.environ[\"PYTHONNOUSERSITE\"])'",
        "show",
        PYTHONPATH=str(tmp_path),
        PYTHONHOME=str(tmp_path),
    )
    assert shown == f"{folder.resolve()}/src 1\n"


def test_a_stage_takes_no_package_from_the_shell(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    (tmp_path / "click.py").write_text(FOREIGN)
    (folder / "stages/show.py").write_text("import click, sys, site; print(sys.path[0], site.ENABLE_USER_SITE)")
    shown = typed(folder, "stages/run", "show", PYTHONPATH=str(tmp_path), PYTHONHOME=str(tmp_path))
    assert shown == f"{folder.resolve()}/src False\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["../show"]])
def test_a_stage_without_or_with_an_unknown_name_is_one_sentence(arguments: list[str], tmp_path: Path) -> None:
    folder = project(tmp_path / "clone")
    for name in ("label", "rainbow-teaming"):
        (folder / f"stages/{name}.py").touch()
    result = run(folder, "stages/run", *arguments)
    assert (result.returncode, result.stderr) == (
        1,
        "Error: stages/run NAME is typed in the root of the repository with one of these names, "
        f"not '{''.join(arguments)}': label rainbow-teaming\n",
    )


def test_what_systems_and_editors_leave_makes_nothing_stale(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    (folder / "texts").mkdir()
    (folder / "texts/en.yaml").write_text("language: en")
    (folder / "dvc.yaml").write_text("stages: {copy: {cmd: cp -r texts copied, deps: [texts], outs: [copied]}}")
    typed(folder, str(BIN / "dvc"), "init", "-q", "-f")
    shutil.copy2(ROOT / ".dvcignore", folder / ".dvcignore")
    typed(folder, str(BIN / "dvc"), "repro", "-q")
    typed(folder, "git", "add", "-A")
    typed(folder, "git", "commit", "-qm", "all")
    for below in ("texts", "copied"):
        (folder / below / ".#en.yaml").symlink_to("anna@host.1234:1700000000")
        for name in STRAY:
            (folder / below / name).parent.mkdir(exist_ok=True)
            (folder / below / name).write_text("stray")
    assert json.loads(typed(folder, str(BIN / "dvc"), "status", "--json")) == {}
    assert typed(folder, "git", "status", "--short") == ""


def test_a_clone_has_the_same_bytes_whatever_git_does_to_line_ends(tmp_path: Path) -> None:
    folder = project(tmp_path / "origin")
    shutil.copy2(ROOT / ".gitattributes", folder / ".gitattributes")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\n\n")
    typed(folder, "git", "add", "-A")
    typed(folder, "git", "commit", "-qm", "all")
    typed(tmp_path, "git", "clone", "-q", "-c", "core.autocrlf=true", "origin", "clone")
    for name in ("stages/run", "requirements.lock", "picture.png"):
        assert (tmp_path / "clone" / name).read_bytes() == (folder / name).read_bytes(), name


def test_one_ctrl_c_ends_everything_and_the_next_run_goes_on(tmp_path: Path) -> None:
    folder = linked(tmp_path / "clone")
    for name in ("profiles", "machines", "boards", "data/phrasebook", "data/refusals", "data/prompts"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy2(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "dvc.yaml").write_text(reading_all_parameters(PIPELINE))
    (folder / "train").write_text(TRAIN)
    typed(folder, str(BIN / "dvc"), "init", "-q", "-f")
    # As in a terminal: Ctrl-C goes to the whole group in its foreground.
    make = subprocess.Popen(["make", "repro"], cwd=folder, start_new_session=True, preexec_fn=hear_signals)
    children = [folder / "child-one", folder / "child-two"]
    while not all(file.is_file() and file.read_text().strip() for file in children):
        assert make.poll() is None
        time.sleep(0.1)
    os.killpg(make.pid, signal.SIGINT)
    assert make.wait(timeout=TIMEOUT)
    assert not any(running(int(file.read_text())) for file in children)
    assert "dpo@one" in json.loads(typed(folder, str(BIN / "dvc"), "status", "--json"))
    (folder / "quick").touch()
    run(folder, "make", "repro")
    assert sorted(path.name for path in (folder / "models/dpo").iterdir()) == ["one", "three", "two"]
