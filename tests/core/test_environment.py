"""What the shell holds reaches no stage, unless it is listed; through ``stages/run`` itself, with a tiny stage."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import ROOT
from signals import TIMEOUT, running

from refuseu.core.environment import ON_CPUS, SET

BIN = Path(sys.executable).parent
SHOW = "import json, os, sys; print(json.dumps({'variables': dict(os.environ), 'arguments': sys.argv[1:]}))"
LIBRARIES = """
import locale, sys, warnings
from accelerate import Accelerator
import matplotlib.pyplot as plt

accelerator = Accelerator(cpu=True)
print(accelerator.mixed_precision, accelerator.num_processes, accelerator.distributed_type, plt.get_backend())
print(sys.flags.optimize, sys.flags.hash_randomization, sys.warnoptions, sys.stdout.encoding, open("x", "w").encoding)
print(sorted("zäZa", key=locale.strxfrm))
"""
"""A stage that asks what the libraries made of the environment."""


def project(folder: Path, stage: str) -> Path:
    """A folder with the stage ``own``, whose code is ``stage``."""
    for name in ("src", "machines", "profiles", "params.yaml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "stages").mkdir()
    (folder / "stages/own.py").write_text(stage)
    shutil.copy2(ROOT / "stages/run", folder / "stages/run")
    (folder / ".venv").symlink_to(BIN.parent)
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> str:
    result = subprocess.run(
        ["stages/run", "own", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def seen(folder: Path, **variables: str) -> dict[str, str]:
    """What of ``variables`` a stage sees, with the values it sees."""
    shown: dict[str, str] = json.loads(run(folder, **variables))["variables"]
    return {name: value for name, value in shown.items() if name in variables}


LAUNCHED = {"MASTER_ADDR": "10.255.255.1", "MASTER_PORT": "29500", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}


@pytest.mark.parametrize(
    "variables",
    [
        {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"},
        LAUNCHED,
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "PMI_SIZE": "2", "PMI_RANK": "0"},
        {"MPLBACKEND": "module://a_notebook.backend", "PYTHONOPTIMIZE": "2", "PYTHONHASHSEED": "7"},
        {"PYTHONWARNINGS": "error", "PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONUTF8": "0"},
    ],
)
def test_what_the_shell_holds_changes_nothing_in_the_libraries(variables: dict[str, str], tmp_path: Path) -> None:
    said = run(project(tmp_path, LIBRARIES), **variables).splitlines()
    assert said[0] == "no 1 DistributedType.NO agg"
    assert said[1:] == ["0 1 [] utf-8 utf-8", "['Z', 'a', 'z', 'ä']"]


DROPPED = [
    *("TRANSFORMERS_VERBOSITY", "PYTORCH_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE"),
    *("TOKENIZERS_PARALLELISM", "TORCHELASTIC_ERROR_FILE", "TORCH_LOGS", "GLIBC_TUNABLES", "MALLOC_PERTURB_"),
    *("KMP_AFFINITY", "GOMP_CPU_AFFINITY", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS", "LC_COLLATE", "LANG", "TZ"),
    *("LM_HARNESS_CACHE_PATH", "TQDM_DISABLE", "VLLM_ATTENTION_BACKEND", "NCCL_ALGO", "SLURM_NTASKS", "A_SECRET"),
]
KEPT = [
    *("HOME", "TMPDIR", "REFUSEU_STORE", "REFUSEU_PROGRESS", "HF_HOME", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
    *("https_proxy", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CUDA_VISIBLE_DEVICES", "RAY_ADDRESS"),
]


def test_what_says_where_something_is_comes_through_as_it_is_and_the_rest_is_dropped(tmp_path: Path) -> None:
    value = "a value with 'quotes', $HOME,\nand a second line"
    kept = dict.fromkeys(KEPT, value)
    assert seen(project(tmp_path, SHOW), **kept, **dict.fromkeys(DROPPED, "1")) == kept


def test_what_the_project_sets_the_shell_cannot_change(tmp_path: Path) -> None:
    assert seen(project(tmp_path, SHOW), **dict.fromkeys(SET | ON_CPUS, "9")) == SET | ON_CPUS


def test_where_trainings_run_on_gpus_the_host_gives_freed_memory_back(tmp_path: Path) -> None:
    given = seen(project(tmp_path, SHOW), REFUSEU_MACHINE="h100", **dict.fromkeys(SET | ON_CPUS, "9"))
    assert given == SET | {"REFUSEU_MACHINE": "h100"}


def test_arguments_and_names_that_no_shell_takes_come_through_or_are_dropped(tmp_path: Path) -> None:
    typed = ["a b", "--questions", "x'y", ""]
    shown = json.loads(
        run(project(tmp_path, SHOW), *typed, **{"BASH_FUNC_module%%": "() { false; }", "SHELLOPTS": "x"})
    )
    assert shown["arguments"] == typed
    assert not {"BASH_FUNC_module%%", "SHELLOPTS"} & shown["variables"].keys()


def test_a_machine_lists_what_it_needs(tmp_path: Path) -> None:
    folder = project(tmp_path, SHOW)
    variables = {"NCCL_SOCKET_IFNAME": "ib0", "VLLM_BATCH_INVARIANT": "1", "VLLM_ATTENTION_BACKEND": "x"}
    listed = seen(folder, REFUSEU_MACHINE="h100x8", **variables)
    assert listed.keys() == {"REFUSEU_MACHINE", "NCCL_SOCKET_IFNAME", "VLLM_BATCH_INVARIANT"}


@pytest.mark.parametrize("text", ["environment: NCCL_DEBUG", "environment: [3, null]", "]", "", None])
def test_a_machine_that_is_wrong_is_told_by_the_stage_that_reads_it(text: str | None, tmp_path: Path) -> None:
    folder = project(tmp_path, SHOW)
    (folder / "machines").unlink()
    (folder / "machines").mkdir()
    if text is not None:
        (folder / "machines/cpu.yaml").write_text(text)
    assert seen(folder, NCCL_DEBUG="1", HF_HOME="x") == {"HF_HOME": "x"}


@pytest.mark.parametrize("broken", [False, True])
def test_the_keys_of_served_models_come_through_by_the_names_that_the_profile_gives(
    broken: bool, tmp_path: Path
) -> None:
    folder = project(tmp_path, SHOW)
    (folder / "params.yaml").unlink()
    (folder / "params.yaml").write_text(
        "profile: served\neval: {models: {mine: {engine: openai, key: MY_KEY}}}" + broken * "]"
    )
    (folder / "profiles").unlink()
    (folder / "profiles").mkdir()
    (folder / "profiles/served.yaml").write_text("models: {one: {key: OTHER_TOKEN}, two: {}, three: {key: null}}")
    found = seen(folder, MY_KEY="secret", OTHER_TOKEN="secret", THIRD_KEY="secret")
    assert found == ({} if broken else {"MY_KEY": "secret", "OTHER_TOKEN": "secret"})


def test_a_command_that_asks_models_starts_again_in_the_environment_of_a_stage(tmp_path: Path) -> None:
    folder = project(tmp_path, SHOW)
    (folder / "command.py").write_text(f"from refuseu.core.environment import enter\nenter('command')\n{SHOW}")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HF_HOME": "x", "OMP_NUM_THREADS": "7"}
    result = subprocess.run(
        [sys.executable, "-m", "command", "a b", "--c"],
        cwd=folder,
        env=environment | {"ACCELERATE_MIXED_PRECISION": "bf16"},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT,
    )
    shown = json.loads(result.stdout)
    assert shown["arguments"] == ["a b", "--c"]
    assert (shown["variables"]["HF_HOME"], shown["variables"]["OMP_NUM_THREADS"]) == ("x", SET["OMP_NUM_THREADS"])
    assert "ACCELERATE_MIXED_PRECISION" not in shown["variables"]


def test_a_stage_of_dvc_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    waits = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    folder = project(tmp_path, waits)
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess; subprocess.run(['bash', '-c', 'stages/run own'])"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "DVC_STAGE": "own"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    stage = int(parent.stdout.readline())
    assert running(stage)
    parent.kill()
    parent.wait(TIMEOUT)
    latest = time.monotonic() + TIMEOUT
    while running(stage):
        assert time.monotonic() < latest
        time.sleep(0.05)
