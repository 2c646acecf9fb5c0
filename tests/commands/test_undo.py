"""``make undo`` after real experiments of DVC, on a pipeline with quick stages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import ROOT
from signals import TIMEOUT, hear_signals

pytestmark = pytest.mark.slow

HOLDING = """
import time
from dvc.repo import Repo
with Repo().lock:
    print("held", flush=True)
    time.sleep(600)
"""
PIPELINE = """
stages:
  train:
    foreach: ${configs}
    do:
      cmd: sh train ${key} ${item}
      params:
        - configs.${key}
      outs:
        - models/${key}/0
        - metrics/${key}/0.json: {cache: false}
  eval:
    cmd: mkdir -p plots/eval && for m in models/*; do cp -r $m plots/eval/; done && test ! -f fail && cat models/*/0 > report.md
    deps: [models]
    outs:
      - plots/eval: {cache: false}
      - report.md: {cache: false}
"""
TRAIN = """
mkdir -p models metrics
mkdir -p models/$1 metrics/$1
echo $2 > models/$1/0
echo {} > metrics/$1/0.json
test -z "$DVC_EXP_NAME" || mkdir -p live/$1
test ! -d live/$1 || { echo 'plots: [loss.tsv]' > live/$1/dvc.yaml; printf 'step\tloss\n0\t1\n' > live/$1/loss.tsv; }
test ! -f slow || { touch slow-$1; sleep 600; }
"""
AUTHOR = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **AUTHOR, "PYTHONPATH": str(ROOT / "src")}
    program = [] if command[0] == "git" else [sys.executable, "-m"]
    return subprocess.run(
        [*program, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )


def typed(folder: Path, *command: str) -> str:
    result = run(folder, *command)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose last commit holds the results of a pipeline."""
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "train").write_text(TRAIN)
    (tmp_path / "params.yaml").write_text("configs:\n  one: 1\n  two: 2\n")
    (tmp_path / ".gitignore").write_text("/models/\n")
    typed(tmp_path, "git", "init", "-q", "-b", "main")
    typed(tmp_path, "dvc", "init", "-q")
    typed(tmp_path, "dvc", "repro", "-q")
    typed(tmp_path, "git", "add", "-A")
    typed(tmp_path, "git", "commit", "-qm", "all")
    return tmp_path


def state(folder: Path) -> dict[str, str]:
    """All files but Git's, DVC's and those of the test."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(folder).parts)
    }


def undone(folder: Path) -> str:
    said = typed(folder, "refuseu.commands.undo")
    assert typed(folder, "dvc", "status", "--json").strip() == "{}"
    return said


EXPERIMENT = ("dvc", "exp", "run", "--name", "slavic", "-S", "configs.one=3", "-S", "+configs.slavic=4")


def test_a_finished_experiment_is_taken_back_and_stays_among_the_experiments(project: Path) -> None:
    before = state(project)
    typed(project, *EXPERIMENT)
    assert (project / "models/slavic/0").is_file() and (project / "plots/eval/slavic/0").is_file()
    assert "Back to the last commit: " in undone(project)
    assert state(project) == before
    assert typed(project, "git", "status", "--short") == ""
    typed(project, "dvc", "exp", "apply", "slavic")
    assert (project / "models/one/0").read_text() == "3\n"
    undone(project)
    assert state(project) == before
    typed(project, "dvc", "exp", "remove", "slavic")
    assert "slavic" not in typed(project, "dvc", "exp", "list")


def test_an_experiment_that_failed_is_taken_back(project: Path) -> None:
    (project / "fail").touch()
    before = state(project)
    assert run(project, *EXPERIMENT).returncode
    undone(project)
    assert state(project) == before


@pytest.mark.parametrize("stopped_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_an_experiment_that_was_stopped_is_taken_back_and_the_next_one_runs(
    project: Path, stopped_by: signal.Signals
) -> None:
    (project / "slow").touch()
    before = state(project)
    command = [sys.executable, "-m", *EXPERIMENT]
    process = subprocess.Popen(
        command, cwd=project, env={**os.environ, **AUTHOR}, start_new_session=True, preexec_fn=hear_signals
    )
    while not list(project.glob("slow-*")):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, stopped_by)
    assert process.wait(timeout=TIMEOUT)
    for path in project.glob("slow-*"):
        path.unlink()
    undone(project)
    assert state(project) == before
    assert typed(project, "git", "symbolic-ref", "HEAD") == "refs/heads/main\n"
    (project / "slow").unlink()
    typed(project, *EXPERIMENT)


def test_a_commit_that_the_user_went_to_stays(project: Path) -> None:
    typed(project, "git", "checkout", "-q", "--detach")
    undone(project)
    assert run(project, "git", "symbolic-ref", "--quiet", "HEAD").returncode


def test_what_the_user_wrote_stays_and_what_is_taken_away_can_be_had_back(project: Path) -> None:
    (project / "train").write_text(TRAIN + "\n# mine\n")
    (project / "notes.md").write_text("mine")
    (project / "metrics/mine.json").write_text("mine")
    (project / "params.yaml").write_text("configs:\n  one: 9\n  two: 2\n# mine\n")
    said = typed(project, "refuseu.commands.undo")
    assert "Back to the last commit: params.yaml, and the outputs of DVC" in said
    assert "Left as they are, for they are your edits: train; 'git diff' shows them" in said
    assert "# mine" in (project / "train").read_text()
    assert (project / "notes.md").read_text() == (project / "metrics/mine.json").read_text() == "mine"
    assert (project / "params.yaml").read_text() == "configs:\n  one: 1\n  two: 2\n"
    typed(project, "git", "stash", "pop")
    assert "# mine" in (project / "params.yaml").read_text()


def test_staged_files_and_broken_parameters_are_taken_back(project: Path) -> None:
    before = state(project)
    (project / "params.yaml").write_text("configs: [")
    (project / "dvc.lock").write_text("")
    typed(project, "git", "add", "-A")
    (project / "models/one/0").write_text("half")
    shutil.rmtree(project / "plots")
    undone(project)
    assert state(project) == before


def test_outputs_that_the_cache_does_not_hold_are_named(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "models")
    said = typed(project, "refuseu.commands.undo")
    assert "Not in DVC's cache: models/one/0, models/two/0; 'dvc pull' brings them" in said


def test_a_merge_that_is_under_way_is_not_touched(project: Path) -> None:
    for branch, value in (("other", 5), ("main", 6)):
        typed(project, "git", "checkout", "-q", *(["-b"] if branch == "other" else []), branch)
        (project / "params.yaml").write_text(f"configs:\n  one: {value}\n  two: 2\n")
        typed(project, "git", "commit", "-qam", branch)
    assert run(project, "git", "merge", "other").returncode
    before = state(project)
    result = run(project, "refuseu.commands.undo")
    assert result.returncode == 1
    assert "undo: a merge is under way, with conflicts in params.yaml; 'git merge --abort'" in result.stderr
    assert state(project) == before


def test_while_the_command_of_a_stage_runs_nothing_is_touched(project: Path) -> None:
    (project / "slow").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", *EXPERIMENT], cwd=project, env={**os.environ, **AUTHOR}, start_new_session=True
    )
    try:
        while not list(project.glob("slow-*")):
            assert process.poll() is None
            time.sleep(0.1)
        parameters = (project / "params.yaml").read_text()
        result = run(project, "refuseu.commands.undo")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert result.returncode == 1
    assert "Error: undo: DVC runs in this folder; wait until it ends" in result.stderr
    assert (project / "params.yaml").read_text() == parameters


def test_while_dvc_runs_nothing_is_touched(project: Path) -> None:
    (project / "params.yaml").write_text("configs:\n  one: 7\n  two: 2\n")
    (project / "metrics/two/0.json").write_text("{2: 2}")
    holder = subprocess.Popen([sys.executable, "-c", HOLDING], cwd=project, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout and holder.stdout.readline()
        result = run(project, "refuseu.commands.undo")
    finally:
        holder.kill()
        holder.wait()
    assert result.returncode == 1
    assert "Error: undo: DVC runs in this folder; wait until it ends" in result.stderr
    assert (project / "metrics/two/0.json").read_text() == "{2: 2}"
