"""Trainings on two nodes, which are two network namespaces of this machine: real processes, connected by a virtual cable alone.

The nodes share this machine's disk. FSDP2 really divides the model, as on GPUs; ``fsdp_on_cpus`` sees to that.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from alike import DPO, MACHINE, MEASURES, METHODS, ROOT, WEIGHTS, mix
from pydantic import TypeAdapter
from safetensors.torch import load_file
from tiny import save_untrained

from refuseu.dpo.machine import TrainingMachine
from refuseu.dpo.mix import MIX
from refuseu.dpo.settings import Dpo
from refuseu.dpo.train import train_dpo
from refuseu.tables.writing import write_table
from refuseu.weights.reference import ModelReference

LIMIT = 300
"""Seconds after which a process that should have ended fails its test."""
FIRST, SECOND = f"refuseu-{os.getpid()}-one", f"refuseu-{os.getpid()}-two"
"""The network namespaces."""
ADDRESS = "10.77.19.1"
"""Of the first node, on a network that ends at the second."""
LONG = {"method": METHODS["lora"], "steps": 5000}
"""A training that would not end by itself in a test."""

Start = Callable[..., "subprocess.Popen[str]"]


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """The two namespaces and the cable, whose ends have the same name."""
    if not shutil.which("ip"):
        pytest.skip("takes the command ip (Debian's iproute2)")
    try:
        ip(f"netns add {FIRST}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces take root: {error.stderr.decode().strip()}")
    try:
        ip(f"netns add {SECOND}")
        ip(f"link add cable0 netns {FIRST} type veth peer name cable0 netns {SECOND}")
        for name, host in ((FIRST, ADDRESS), (SECOND, "10.77.19.2")):
            ip(f"-n {name} address add {host}/24 dev cable0")
            ip(f"-n {name} link set cable0 up")
            ip(f"-n {name} link set lo up")
        yield
    finally:
        ip(f"netns delete {FIRST}")
        subprocess.run(["ip", "netns", "delete", SECOND], check=False, capture_output=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as far as the stage reads it, with a tiny base and one mix under two names."""
    root = tmp_path_factory.mktemp("clone")
    for name in METHODS:
        write_table(mix(), root / f"data/split/dpo/{name}.parquet", MIX)
    torch.manual_seed(0)
    save_untrained(root / "models/base")
    shutil.copytree(ROOT / "machines/accelerate", root / "machines/accelerate")
    shutil.copytree(ROOT / "tests_models/fsdp_on_cpus", root / "src")
    (root / "src/refuseu").symlink_to(ROOT / "src/refuseu")
    (root / "stages").symlink_to(ROOT / "stages")
    (root / "profiles").mkdir()
    (root / "params.yaml").write_text("{profile: test}", encoding="utf-8")
    for name, own in (("one", {}), ("two", {"nodes": 2, "accelerate": "fsdp2"})):
        machine = {"training": {**MACHINE, **own}, "environment": ["GLOO_SOCKET_IFNAME"]}
        (root / f"machines/{name}.yaml").write_text(yaml.safe_dump(machine), encoding="utf-8")
    return root


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """A function that starts a command of Python in a clone, on a machine and a node; it ends with the test."""
    processes: list[subprocess.Popen[str]] = []

    def started(*command: str, machine: str = "two", node: str = "", clone: Path = root) -> "subprocess.Popen[str]":
        own = {"PYTHONPATH": str(clone / "src"), "REFUSEU_MACHINE": machine, "REFUSEU_FIRST_NODE": ADDRESS}
        own |= {"GLOO_SOCKET_IFNAME": "cable0"} if node else {}
        within = ["ip", "netns", "exec", node] if node else []
        processes.append(
            subprocess.Popen(
                [*within, sys.executable, *command],
                cwd=clone,
                env={**os.environ, **own},
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield started
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=LIMIT)


JOIN = ("-m", "refuseu.join")


def profile(root: Path, **dpo: Any) -> None:
    (root / "profiles/test.yaml").write_text(yaml.safe_dump({"dpo": {**DPO, **dpo}}), encoding="utf-8")


def said(process: "subprocess.Popen[str]", code: int = 0) -> str:
    """What a process said until it ended."""
    text = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == code, text
    assert "Traceback" not in text
    return text


def error_of(process: "subprocess.Popen[str]") -> str:
    (sentence,) = (line for line in said(process, 1).splitlines() if line.startswith("Error: "))
    return sentence


def wait_for(path: Path, pattern: str, *running: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + LIMIT
    while not list(path.glob(pattern)):
        assert time.monotonic() < end
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)


def test_two_nodes_train_the_model_of_one(
    root: Path, network: None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    base, alone = ModelReference.read(Path("models/base")), TrainingMachine(**MACHINE)
    node = start(*JOIN, node=SECOND)
    for method in METHODS:
        profile(root, method=METHODS[method])
        first = start("stages/dpo.py", method, "1", node=FIRST)
        settings = TypeAdapter(Dpo).validate_python({**DPO, "method": METHODS[method]})
        measures, _ = train_dpo(mix(), base, settings, alone, 1, Path(f"one/{method}"))
        assert "waits for 1 more node" in said(first)
        one, two = weights(Path(f"one/{method}")), weights(Path(f"models/dpo/{method}/1"))
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[name], two[name], atol=WEIGHTS) for name in one)
        measured = json.loads(Path(f"metrics/dpo/{method}/1.json").read_text())
        assert measured.pop("tokens") == json.loads(json.dumps(measures.pop("tokens")))
        assert measured == pytest.approx(measures, abs=MEASURES)
    assert list(Path(".cache/refuseu/checkpoints").iterdir()) == []
    said(start(*JOIN, "--end", node=FIRST))
    assert "as node 1" in said(node)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def test_who_does_not_share_the_first_nodes_folder_or_settings_does_not_join(
    root: Path, network: None, start: Start, tmp_path: Path
) -> None:
    profile(root, **LONG)
    elsewhere = tmp_path / "clone"
    shutil.copytree(root, elsewhere, symlinks=True)
    (elsewhere / ".cache/refuseu").mkdir(parents=True, exist_ok=True)
    (elsewhere / ".cache/refuseu/nodes.token").write_text("0" * 64)
    other = yaml.safe_load((root / "machines/two.yaml").read_text())
    other["training"]["batch_size"] = 1
    (root / "machines/other.yaml").write_text(yaml.safe_dump(other))
    first = start("stages/dpo.py", "lora", "2", node=FIRST)
    assert "do not share a token" in error_of(start(*JOIN, node=SECOND, clone=elsewhere))
    assert "its machine is not the first node's" in error_of(start(*JOIN, machine="other", node=SECOND))
    assert (root / ".cache/refuseu/nodes.token").stat().st_mode & 0o777 == 0o600
    assert first.poll() is None
    first.terminate()
    refusals = first.communicate(timeout=LIMIT)[1]
    assert "10.77.19.2 called and is refused: it does not know the token" in refusals
    assert "(10.77.19.2) is refused: its machine" in refusals


def test_a_worker_or_a_node_that_is_killed_ends_the_training_with_one_sentence(
    root: Path, network: None, start: Start
) -> None:
    profile(root, **LONG)
    node, first = start(*JOIN, node=SECOND), start("stages/dpo.py", "lora", "3", node=FIRST)
    checkpoints = root / ".cache/refuseu/checkpoints"
    wait_for(checkpoints, "*/checkpoint-*/whole.json", node, first)
    below = psutil.Process(node.pid).children(recursive=True)
    (worker,) = (each for each in below if each.environ().get("RANK") == "1")
    worker.kill()
    assert error_of(first) == (
        "Error: dpo: training process 1 ended (signal SIGKILL), and said why above if it could; "
        "'dvc repro' goes on from the last checkpoint"
    )
    kept = max(int(path.parent.name.rpartition("-")[2]) for path in checkpoints.glob("*/checkpoint-*/whole.json"))

    first = start("stages/dpo.py", "lora", "3", node=FIRST)
    later = [f"*/checkpoint-{kept + more}/whole.json" for more in (2, 4)]
    wait_for(checkpoints, later[1], node, first)
    os.killpg(node.pid, signal.SIGKILL)
    sentence = error_of(first)
    assert sentence.startswith("Error: dpo: node ") and "(10.77.19.2) is lost (its connection ended)" in sentence
    assert list(checkpoints.glob("*/checkpoint-*/whole.json"))
    assert not (root / "models/dpo/lora/3").exists()
