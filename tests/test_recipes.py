"""What `make recipes` cannot know of the recipes for clusters: that what they name is there."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT

RECIPES = sorted((ROOT / "recipes").iterdir())
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
        ("nodes.sky.yaml", "\n  fi\n", "\n", "syntax error"),
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
