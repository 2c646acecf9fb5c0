"""The recipe for several nodes makes one cluster of real Ray processes, also where Ray has left a token of its own."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from shell import program

ROOT = Path(__file__).parent.parent
LIMIT = 900
"""Seconds that both nodes may take to start Ray, join it and leave it; a busy machine takes minutes."""
MADE_BY_RAY = "import ray; ray.init(address='local', include_dashboard=False, num_cpus=1)"
DVC = """import sys
if sys.argv[-1] == "label":
    import ray
    ray.init(address="auto")
    print("nodes:", len(ray.nodes()))
"""
"""Stands for DVC: where the recipe runs the stages that share the cluster, it joins as they do."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The recipe's folder, with Ray itself and stand-ins for ``nvidia-smi``, ``make`` and DVC."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    task = yaml.safe_load((tmp_path / "recipes/nodes.sky.yaml").read_text(encoding="utf-8"))
    (tmp_path / "run").write_text(task["run"].replace("6379", str(free_port())))
    (tmp_path / "dvc.py").write_text(DVC)
    program(tmp_path / "bin/nvidia-smi", "echo 580.65.06")
    program(tmp_path / "bin/make", "exit 0")
    program(tmp_path / ".venv/bin/python", f'exec {sys.executable} "$@"')
    program(tmp_path / ".venv/bin/ray", f'exec {Path(sys.executable).parent}/ray "$@"')
    program(tmp_path / ".venv/bin/dvc", f'exec {sys.executable} dvc.py "$@"')
    return tmp_path


def shell(clone: Path) -> dict[str, str]:
    """What SkyPilot gives each node, with a home of its own and nothing of the caller's Ray."""
    task = yaml.safe_load((clone / "recipes/nodes.sky.yaml").read_text(encoding="utf-8"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    address = socket.gethostbyname(socket.gethostname())
    nodes = {"SKYPILOT_NODE_IPS": f"{address}\n{address}", "SKYPILOT_NUM_NODES": "2"}
    path = f"{clone}/bin:{os.environ['PATH']}"
    return {**kept, **task["envs"], **nodes, "HOME": str(clone), "PATH": path}


@pytest.mark.parametrize("earlier", [False, True], ids=["first-run", "after-a-run-on-one-machine"])
def test_two_nodes_become_one_cluster_and_leave_it(clone: Path, earlier: bool) -> None:
    environment = shell(clone) | {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    if earlier:
        own = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH")}
        subprocess.run([sys.executable, "-c", MADE_BY_RAY], env=own, cwd=clone, check=True, timeout=LIMIT)
        assert (clone / ".ray/auth_token").is_file()
    nodes = [
        subprocess.Popen(
            ["bash", "run"],
            cwd=clone,
            env=environment | {"SKYPILOT_NODE_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        said = [node.communicate(timeout=LIMIT)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    assert "nodes: 2" in said[0]


def test_a_cluster_without_a_token_is_not_started(clone: Path) -> None:
    environment = shell(clone) | {"SKYPILOT_NODE_RANK": "0", "RAY_AUTH_TOKEN": ""}
    node = subprocess.run(
        ["bash", "run"], cwd=clone, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert node.returncode == 1
    assert 'has no value; add --secret RAY_AUTH_TOKEN="$(openssl rand -hex 32)" to sky launch' in node.stderr
