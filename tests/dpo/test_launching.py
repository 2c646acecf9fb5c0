import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import ROOT
from tiny import ONE_CORE

from refuseu.core.errors import UserError
from refuseu.dpo import launching
from refuseu.dpo.launching import REPLY, accelerate_config, first_process, launched, take_one_gpu

pytestmark = pytest.mark.slow

TWO = ONE_CORE.model_copy(update={"processes": 2})
CONFIGS = sorted(path.stem for path in ROOT.glob("machines/accelerate/*.yaml"))
LAUNCHER = """
import sys
from pathlib import Path
import click
from refuseu.dpo.machine import TrainingMachine
from refuseu.dpo.launching import launch

@click.command()
def main():
    machine = TrainingMachine(
        device="cpu", processes=2, batch_size=1, accelerate="none", gradient_checkpointing=False, checkpoint_every=1
    )
    launch(machine, False, Path(sys.argv[1]), ["--out", "there"])

main(args=[])
"""
WORKER = """
import os, sys, time
from pathlib import Path
from refuseu.core.errors import UserError
from refuseu.dpo.launching import first_process, launched, reporting

assert launched() and first_process() == (os.environ["RANK"] == "0")
with reporting():
    {}
Path(__file__).with_name("process-" + os.environ["RANK"]).write_text(" ".join(sys.argv[1:]), encoding="utf-8")
"""


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def run(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "launcher.py").write_text(LAUNCHER, encoding="utf-8")
    (tmp_path / "worker.py").write_text(WORKER.replace("{}", body), encoding="utf-8")
    own = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(tmp_path / "launcher.py"), str(tmp_path / "worker.py")],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_runs_once_a_process_with_its_arguments(tmp_path: Path) -> None:
    done = run(tmp_path, "pass")
    assert done.returncode == 0, done.stderr
    # Files: what two processes print comes in any order, within a line too.
    assert {path.name: path.read_text() for path in tmp_path.glob("process-*")} == {
        "process-0": "--out there",
        "process-1": "--out there",
    }


def test_what_a_process_fails_of_is_said_once_and_ends_the_others(tmp_path: Path) -> None:
    done = run(tmp_path, 'raise UserError("dpo@x: no") if os.environ["RANK"] == "1" else time.sleep(600)')
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: dpo@x: no\n")


def test_a_process_that_dies_is_named_and_not_the_connection_that_others_lost(tmp_path: Path) -> None:
    body = """dying = Path(__file__).with_name("dying")
    if os.environ["RANK"] == "1":
        dying.touch()
        os.kill(os.getpid(), 9)
    while not dying.exists():
        time.sleep(0.05)
    raise RuntimeError("Connection closed by peer")"""
    done = run(tmp_path, body)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: dpo: training process 1 ended (signal SIGKILL)")


def test_a_process_that_ends_without_a_word_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, 'os.kill(os.getpid(), 9) if os.environ["RANK"] == "1" else time.sleep(600)')
    assert done.returncode == 1
    assert done.stderr == (
        "Error: dpo: training process 1 ended (signal SIGKILL), and said why above if it could; "
        "'dvc repro' goes on from the last checkpoint\n"
    )


@pytest.mark.parametrize(
    ("shown", "taken"), [(None, "0"), ("5,6,7", "5"), ("GPU-4f,GPU-a1", "GPU-4f"), ("3", "3"), ("", "")]
)
def test_a_training_of_one_process_takes_one_gpu(
    shown: str | None, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}
    monkeypatch.setattr(os, "environ", variables)
    take_one_gpu(ONE_CORE.model_copy(update={"device": "cuda"}))
    assert variables == {"CUDA_VISIBLE_DEVICES": taken}


@pytest.mark.parametrize("other", [{"device": "cpu"}, {"device": "cuda", "processes": 8}])
def test_other_trainings_see_the_gpus_that_they_are_shown(
    other: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    take_one_gpu(ONE_CORE.model_copy(update=other))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,6"


def test_a_process_of_its_own_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPLY, raising=False)
    monkeypatch.setenv("RANK", "1")  # of a shell that some other launcher started
    assert (launched(), first_process()) == (False, True)
    monkeypatch.setenv(REPLY, "error.json")
    assert (launched(), first_process()) == (True, False)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_of_the_machines_is_told_the_processes_and_the_device(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "find_spec", lambda _: True)
    machine = TWO.model_copy(update={"accelerate": name, "device": "cuda"})
    content = yaml.safe_load((ROOT / f"machines/accelerate/{name}.yaml").read_text())
    assert accelerate_config(machine) == {**content, "num_processes": 2, "use_cpu": False}
    assert "mixed_precision" not in content  # the profile's


def test_the_processes_of_all_nodes_are_counted() -> None:
    config = accelerate_config(TWO.model_copy(update={"nodes": 3}))
    assert (config["num_machines"], config["num_processes"]) == (3, 6)


def test_our_fsdp2_loads_the_reference_in_every_process() -> None:
    fsdp = accelerate_config(TWO.model_copy(update={"accelerate": "fsdp2"}))["fsdp_config"]
    assert (fsdp["fsdp_version"], fsdp["fsdp_cpu_ram_efficient_loading"]) == (2, False)


def test_a_package_that_is_missing_and_a_file_that_is_missing_or_wrong_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"zero3\.yaml: takes the package deepspeed, which is not installed; '"):
        accelerate_config(TWO.model_copy(update={"accelerate": "zero3"}))
    with pytest.raises(UserError, match=r"ours\.yaml: cannot be read .*must be one of: none, fsdp2, zero3"):
        accelerate_config(TWO.model_copy(update={"accelerate": "ours"}))
    monkeypatch.setattr(launching, "CONFIGS", tmp_path)
    (tmp_path / "ours.yaml").write_text("num_processes: 8", encoding="utf-8")
    with pytest.raises(UserError, match=r"ours\.yaml: must be a configuration as 'accelerate config' writes it"):
        accelerate_config(TWO.model_copy(update={"accelerate": "ours"}))
