"""What `make recipes` cannot know of the recipes for clusters: that what they name is there."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT
from shell import program
from signals import TIMEOUT, hear_signals

from refuseu.plan.checks import DRIVER

RECIPES = sorted({*(ROOT / "recipes").iterdir()} - {ROOT / "recipes/functions.sh"})
SBATCH = {
    *("account", "array", "begin", "chdir", "comment", "constraint", "cpus-per-gpu", "cpus-per-task", "dependency"),
    *("error", "exclude", "exclusive", "export", "gpus", "gpus-per-node", "gpus-per-task", "gres", "job-name"),
    *("mail-type", "mail-user", "mem", "mem-per-cpu", "mem-per-gpu", "nodelist", "nodes", "no-requeue", "ntasks"),
    *("ntasks-per-node", "open-mode", "output", "partition", "qos", "requeue", "reservation", "signal", "time"),
}
"""Long options of Slurm's sbatch (its manual page), those that a recipe may need."""


def faults(name: str, text: str) -> list[str]:
    """What is wrong with a recipe of this name, beyond the form that `make recipes` checks."""
    own = sbatch_faults(text) if name.endswith(".sbatch") else task_faults(text)
    return [*own, *unknown_names(text)]


def task_faults(text: str) -> list[str]:
    """What is wrong with the scripts in a SkyPilot task, which SkyPilot does not read before it runs them."""
    task = yaml.safe_load(text)
    return [fault for script in (task["setup"], task["run"]) for fault in script_faults(script)]


def sbatch_faults(text: str) -> list[str]:
    """Options that sbatch does not have, and those that it would not read."""
    lines = text.splitlines()
    last = max((place for place, line in enumerate(lines) if line.startswith("#SBATCH")), default=0)
    body = [line for line in lines[:last] if line and not line.startswith("#")]
    late = [f"sbatch reads no options after {body[0]!r}"] if body else []
    options = re.findall(r"^#SBATCH (.*)$", text, re.MULTILINE)
    unknown = [option for option in options if re.split(r"[= ]", option.removeprefix("--"))[0] not in SBATCH]
    return late + [f"sbatch has no option {option}" for option in unknown]


def script_faults(script: str) -> list[str]:
    found = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    return found.stderr.splitlines()


def unknown_names(text: str) -> list[str]:
    """Files, make targets, profiles and machines that a recipe names and the repository has not."""
    paths = re.findall(r"(?<![\w./-])((?:docs|machines|recipes)/[\w.-]*\w|requirements[\w-]*\.lock)", text)
    targets = re.findall(r"^\s*make ([\w./-]+)", text, re.MULTILINE)
    profiles = re.findall(r"\bPROFILE(?:=|: |:-)([\w.-]*\w)", text)
    machines = re.findall(r"\bREFUSEU_MACHINE(?:=|: |:-)([\w.-]*\w)", text)
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = [*paths, *(f"profiles/{name}.yaml" for name in profiles), *(f"machines/{name}.yaml" for name in machines)]
    return [
        *(f"no file {path}" for path in wanted if not (ROOT / path).is_file()),
        *(f"no target {target}" for target in targets if not re.search(rf"^{re.escape(target)}:", made, re.MULTILINE)),
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_what_recipes_name_is_there(recipe: Path) -> None:
    assert faults(recipe.name, recipe.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("node.sbatch", "--ntasks-per-node", "--task-per-node", "sbatch has no option --task-per-node=1"),
        ("node.sbatch", "set -euo pipefail\n", "set -e\n#SBATCH --mem=1\n", "sbatch reads no options after 'set -e'"),
        ("nodes.sbatch", "-gpu.lock", "-gpus.lock", "no file requirements-gpus.lock"),
        ("node.sbatch", "make .venv/ready", "make .venv/redy", "no target .venv/redy"),
        ("node.sky.yaml", "PROFILE: paper-8b", "PROFILE: paper-9b", "no file profiles/paper-9b.yaml"),
        (
            "nodes.sky.yaml",
            "REFUSEU_MACHINE: h100x8-nodes",
            "REFUSEU_MACHINE: nowhere",
            "no file machines/nowhere.yaml",
        ),
        ("nodes.sky.yaml", "    exit\n  fi\n", "    exit\n", "syntax error"),
    ],
)
def test_a_broken_recipe_is_told(name: str, old: str, new: str, fault: str) -> None:
    text = (ROOT / "recipes" / name).read_text(encoding="utf-8")
    assert old in text
    before, after = faults(name, text), faults(name, text.replace(old, new, 1))
    assert any(fault in each for each in after)
    assert not any(fault in each for each in before)


def test_both_ways_to_several_nodes_join_the_cluster_that_their_machine_names() -> None:
    machine: dict[str, Any] = yaml.safe_load((ROOT / "machines/h100x8-nodes.yaml").read_text(encoding="utf-8"))
    assert machine["ray"]["address"] == "auto"
    for name in ("nodes.sbatch", "nodes.sky.yaml"):
        text = (ROOT / "recipes" / name).read_text(encoding="utf-8")
        assert "export RAY_ADDRESS=" in text
        assert "--head --port=6379" in text


FUNCTIONS = ROOT / "recipes/functions.sh"
PIPELINE = """
stages:
  base: {cmd: echo one > base, params: [profile], outs: [base]}
  label: {cmd: sh slow, deps: [base, slow], outs: [label]}
"""
# The sleep hears no SIGINT, as all behind a shell's '&': left alive, it would hold the job's output open for its minute.
SLOW = "trap 'echo ended > heard; kill $!; exit 130' INT\nsleep 60 &\ntouch begun\nwait\n"


def typed(folder: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What bash says to a command after the recipes' functions; a program in ``folder/bin`` stands for one of the system."""
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\nsource {FUNCTIONS}\n{command}"],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )


def test_what_is_waited_for_has_a_limit_and_a_sentence(tmp_path: Path) -> None:
    late = typed(tmp_path, "until_succeeds 60 'too late' test -e there & sleep 1; touch there; wait $!")
    assert (late.returncode, late.stderr) == (0, "")
    never = typed(tmp_path, "until_succeeds 1 'Ray did not start' test -e nowhere\necho went on")
    assert never.returncode == 1
    assert never.stderr.endswith(": Ray did not start\n") and never.stdout == ""


@pytest.mark.parametrize(("driver", "code"), [("580.65.06", 0), ("590.1", 0), ("575.57.08", 1), ("", 1)])
def test_each_node_asks_its_own_driver(driver: str, code: int, tmp_path: Path) -> None:
    program(tmp_path / "bin/nvidia-smi", f"printf '%s\\n' {driver}")
    asked = typed(tmp_path, "driver_is_new")
    assert asked.returncode == code
    if code:
        assert f"the NVIDIA driver is {driver or 'missing'}, CUDA 13 wants {DRIVER} or newer" in asked.stderr


def test_a_driver_that_names_many_gpus_one_by_one_is_found(tmp_path: Path) -> None:
    program(tmp_path / "bin/nvidia-smi", "for gpu in 0 1 2; do echo 580.65.06; sleep 0.2; done")
    asked = typed(tmp_path, "driver_is_new")
    assert (asked.returncode, asked.stderr) == (0, "")


def test_a_node_without_a_driver_is_told(tmp_path: Path) -> None:
    asked = typed(tmp_path, "driver_is_new", PATH="/usr/bin:/bin")
    assert asked.returncode == 1
    assert "the NVIDIA driver is missing" in asked.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with two stages, of which the second one runs until it hears SIGINT."""
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "slow").write_text(SLOW)
    (tmp_path / "params.yaml").write_text("profile: miniature\n")
    (tmp_path / ".gitignore").write_text("/base\n/label\n/begun\n/heard\n/bin\n/.venv\n")
    program(tmp_path / ".venv/bin/dvc", f'exec {sys.executable} -m dvc "$@"')
    author = "-c user.name=a -c user.email=a@b.c"
    commands = ("git init -q -b main", f"{sys.executable} -m dvc init -q", "git add -A", f"git {author} commit -qm all")
    for command in commands:
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.slow
def test_an_experiment_of_a_job_that_is_told_to_end_ends_its_stage(clone: Path) -> None:
    """As Slurm does before its time limit: SIGTERM for the batch shell alone."""
    program(clone / "bin/job", f"exec bash -c 'source {FUNCTIONS}; PROFILE=paper-8b; experiment paper-8b'")
    job = subprocess.Popen([clone / "bin/job"], cwd=clone, stderr=subprocess.PIPE, text=True, preexec_fn=hear_signals)
    end = time.monotonic() + TIMEOUT
    while not (clone / "begun").exists() and time.monotonic() < end:
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=TIMEOUT)
    assert job.returncode > 0
    assert "The job was told to end before the pipeline did" in said and "'make undo'" in said
    assert (clone / "heard").read_text() == "ended\n"
    assert typed(clone, "no_experiment_left").returncode == 0  # DVC itself went back to the branch


def killed_while_its_stage_runs(clone: Path) -> None:
    """As Slurm does when a job has not ended by itself."""
    dvc = [clone / ".venv/bin/dvc", "exp", "run", "-S", "profile=paper-8b"]
    job = subprocess.Popen(dvc, cwd=clone, process_group=0, stdout=subprocess.DEVNULL)
    end = time.monotonic() + TIMEOUT
    while not (clone / "begun").exists() and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()


@pytest.mark.slow
def test_a_job_that_finds_an_experiment_left_behind_says_the_way_out_before_anything_runs(clone: Path) -> None:
    there = typed(clone, "no_experiment_left; echo went on")
    assert (there.stdout, there.stderr) == ("went on\n", "")
    subprocess.run(
        ["git", "checkout", "-q", "--detach"], cwd=clone, check=True
    )  # as a user may, to run an older commit
    assert typed(clone, "no_experiment_left; echo went on").stdout == "went on\n"
    subprocess.run(["git", "checkout", "-q", "main"], cwd=clone, check=True)
    killed_while_its_stage_runs(clone)
    left = typed(clone, "no_experiment_left; echo went on")
    assert (left.returncode, left.stdout, left.stderr.count("\n")) == (1, "", 1)
    assert (
        "'make undo' takes it back to its last commit (rows and checkpoints are kept), then send the job again"
        in left.stderr
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_looks_for_an_experiment_left_behind_first(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    runs = text.partition("\nrun: |\n")[2] or text
    lines = [line.strip() for line in runs.splitlines() if line.strip() and not line.strip().startswith("#")]
    sourced = lines.index("source recipes/functions.sh")
    assert lines[sourced + 1] == "no_experiment_left"
    assert all(line.startswith(("set ", "cd ")) for line in lines[:sourced])


@pytest.mark.slow
def test_an_experiment_runs_up_to_the_stages_that_are_named(clone: Path) -> None:
    done = typed(clone, "experiment '' base; echo \"went on\"", PROFILE="paper-8b")
    assert done.returncode == 0 and done.stdout.endswith("went on\n")
    assert (clone / "base").exists() and not (clone / "begun").exists()
    (clone / "slow").write_text("exit 3\n")
    failed = typed(clone, "experiment paper-8b; echo 'went on'", PROFILE="paper-8b")
    assert failed.returncode > 0 and "went on" not in failed.stdout
    assert "told to end" not in failed.stderr
