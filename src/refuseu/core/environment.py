"""The environment that a stage starts from. It is listed here, so that no result depends on the shell that a run is typed in.

A variable of the shell may choose the numbers of a training, a library's defaults or the order of a set, and no output would
say so. What is listed decides where something is or how it is reached, and no result. Everything else is dropped before the
libraries are loaded. A machine that needs more names it in its file, under ``environment``.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from refuseu.core import ending
from refuseu.core.errors import UserError
from refuseu.core.parent import end_with_parent
from refuseu.core.sections import machine_file, merged_sections

LISTED = (
    # This run: its row store, machine and manner of showing progress; the stage, and the main repository where DVC runs a copy
    # of it; where DVC's settings are, which say where its cache is.
    *("REFUSEU_*", "DVC_STAGE", "DVC_ROOT", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"),
    # Programs, libraries of a Python that a cluster's module brings, the user and their folders.
    *("PATH", "LD_LIBRARY_PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME"),
    # The terminal, and how wide it is.
    *("TERM", "COLUMNS", "NO_COLOR"),
    # The hub: its address, its token, its cache, and whether to stay off the network (the last two by their older name too).
    *("HF_HOME", "HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_*", "HF_XET_*", "HUGGING_FACE_HUB_TOKEN"),
    *("HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"),
    # The way to the network, and the certificates that are trusted on it.
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    # The experiment that runs, and where trainings are shown while they run.
    *("DVC_EXP_NAME", "WANDB_*", "MLFLOW_*"),
    # The GPUs that are this run's, and a Ray cluster that is there.
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "RAY_ADDRESS"),
)
"""Names of variables that every stage is given where they are set; ``*`` stands for any letters."""

SET = {
    # The same bytes whatever newer instructions the processor has, and on any number of cores. Processors of different makers
    # still differ in the last bits of trained weights (docs/architecture.md, "Same bytes").
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Progress bars of libraries fill logs. TRL tells the hub of every training from a thread of its own, whose look-up of the
    # hub's address can crash the process; training stays on this machine.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Packages of the user's home would stand in for the locked ones.
    "PYTHONNOUSERSITE": "1",
    # Files and messages are UTF-8 in every language of the shell.
    "PYTHONUTF8": "1",
}
"""What every stage is given, whatever the shell holds."""
ON_CPUS = {
    # The tensors of a step come and go. glibc by itself hands their pages back each time, and fetching them anew took a third
    # of DPO's time.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
"""What a stage is given as well where trainings run on CPUs. Where they run on GPUs, the host's memory would keep the copy of a
model that was moved to them."""
ENTERED = "REFUSEU_ENTERED"
"""Set in a process that has a stage's environment already."""


def stage_environment(shell: Mapping[str, str], root: Path = Path()) -> dict[str, str]:
    """The environment of a stage of the project in the folder ``root``, on the machine that ``REFUSEU_MACHINE`` names."""
    listed = [*LISTED, *also_listed(root)]
    kept = {name: value for name, value in shell.items() if any(fnmatchcase(name, each) for each in listed)}
    own = {} if on_gpus(root) else ON_CPUS
    return {**kept, **SET, **own, "PYTHONPATH": str(root.absolute() / "src")}


def on_gpus(root: Path = Path()) -> bool:
    """Whether the machine's file has trainings run on GPUs. A file that cannot be read says nothing of them."""
    with suppress(UserError):
        _, machine = machine_file(root)
        training = machine.get("training") if isinstance(machine, dict) else None
        return isinstance(training, dict) and training.get("device") == "cuda"
    return False


def also_listed(root: Path = Path()) -> Iterator[str]:
    """Yield the names that the machine's file lists, and those of the variables that hold the keys of served models.

    A file that cannot be read has none: the stage that needs it says what is wrong with it.
    """
    with suppress(UserError):
        _, machine = machine_file(root)
        if isinstance(machine, dict) and isinstance(machine.get("environment"), list):
            yield from map(str, machine["environment"])
    with suppress(UserError):
        yield from _keys(merged_sections(root)[0])


def _keys(part: Any) -> Iterator[str]:
    """The values of all entries ``key`` below ``part``: each is the name of a variable."""
    for name, value in part.items() if isinstance(part, dict) else ():
        if name == "key" and isinstance(value, str):
            yield value
        yield from _keys(value)


def enter(module: str) -> None:
    """Start this process again in the environment of a stage; for commands that ask models, whose answers a stage may reuse."""
    if os.environ.get(ENTERED):
        return
    environment = stage_environment(os.environ) | {ENTERED: "1"}
    os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], environment)


def start() -> None:
    """Become the stage that the first argument of this process names, with the other arguments, in its listed environment."""
    name, *arguments = sys.argv[1:]
    if "DVC_STAGE" in os.environ:
        end_with_parent()
    environment = stage_environment(os.environ)
    # Without the folder that it is typed in on Python's path (-P): a stage imports from src and its packages alone.
    os.execve(
        sys.executable, [sys.executable, "-P", "-m", ending.__name__, f"stages/{name}.py", *arguments], environment
    )
