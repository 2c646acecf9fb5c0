"""Training on several processes: ``accelerate launch`` starts the stage's own script, and this module is used on both sides."""

import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.core.parent import end_with_parent
from refuseu.core.paths import inside
from refuseu.dpo.machine import TrainingMachine

CONFIGS = Path("machines/accelerate")
COPIES = {"compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU"}
"""The configuration of accelerate for a copy of the model on each device."""
REPLY = "TORCHELASTIC_ERROR_FILE"
"""The environment variable with the file in which a launched process reports its error. torch sets and reads it."""
OTHERS_FIRST = 10.0
"""Seconds that a process waits before it shows an error that is no sentence. Where it only lost the connection to a process that
died, the launcher has found that one by then, and ends this one."""


class Place(NamedTuple):
    """Where a node stands in a training on several."""

    rank: int
    address: str
    """Of the first node, as this node reaches it."""
    port: int
    """Of the first node, for torch's rendezvous."""


def launched() -> bool:
    """Whether this process is one of several that train a model together. A ``RANK`` alone may come from the shell."""
    return REPLY in os.environ


def first_process() -> bool:
    """Whether this process writes the outputs of a training, because it is the only one or the first of several."""
    return not launched() or os.environ["RANK"] == "0"


def take_one_gpu(machine: TrainingMachine) -> None:
    """Leave a training of one process the first of the GPUs that it is shown, before CUDA counts them.

    TRL refuses a process that sees several, because its trainer would spread the model over them in another way.
    """
    if machine.device == "cuda" and machine.processes == 1:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = shown.partition(",")[0]


def launch(
    machine: TrainingMachine, bf16: bool, script: Path, arguments: Sequence[str], place: Place | None = None
) -> None:
    """Run ``script`` with ``arguments`` in this node's processes until they end. None of them outlives this process.

    On several nodes each has its own launcher, in its ``place``.

    Raises:
        UserError: with the sentence that a process failed with, or with the number of a process that ended without a report.
        SystemExit: after a signal, with the exit code that a shell gives for it.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # Each failure is reported as a sentence below. torch would print a page of its own around it.
    logging.disable(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        config = Path(folder) / "accelerate.yaml"
        config.write_text(yaml.safe_dump(accelerate_config(machine)), encoding="utf-8")
        options = ["--config_file", str(config), "--mixed_precision", "bf16" if bf16 else "no"]
        options += ["--num_cpu_threads_per_process", "1", "--main_process_port", str(place.port if place else 0)]
        if place:
            options += ["--machine_rank", str(place.rank), "--main_process_ip", place.address, "--same_network"]
        try:
            launch_command(launch_command_parser().parse_args([*options, str(script), *arguments]))
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise UserError(
                failure.message
                if failure.error_file_data.get("sentence")
                else f"dpo: training process {rank} ended ({_how(failure.exitcode)}), and said why above if it could; "
                "'dvc repro' goes on from the last checkpoint"
            ) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None


def _how(exit_code: int) -> str:
    return f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"


def accelerate_config(machine: TrainingMachine) -> dict[str, Any]:
    """The configuration for accelerate: the file that the machine names, with the machine's nodes, processes and device.

    Raises:
        UserError: for a file that is missing or is not a configuration, and when a package that it needs is not installed.
    """
    config: Any = COPIES
    if machine.accelerate != "none":
        path = inside(CONFIGS, f"{machine.accelerate}.yaml", "training.accelerate in machines/")
        known = ", ".join(["none", *sorted(each.stem for each in CONFIGS.glob("*.yaml"))])
        config = read_yaml(path, f"training.accelerate in machines/ must be one of: {known}")
        if not isinstance(config, dict) or "distributed_type" not in config:
            raise UserError(
                f"{path}: must be a configuration as 'accelerate config' writes it, with a distributed_type"
            )
        if config["distributed_type"] == "DEEPSPEED" and find_spec("deepspeed") is None:
            raise UserError(
                f"{path}: takes the package deepspeed, which is not installed; '.venv/bin/uv pip install deepspeed' brings it"
            )
    return {
        **config,
        "num_machines": machine.nodes,
        "num_processes": machine.devices,
        "use_cpu": machine.device == "cpu",
    }


@contextmanager
def reporting() -> Iterator[None]:
    """In a launched process, hand a ``UserError`` to the launcher, which shows it once, and end when the launcher ends."""
    if not launched():
        yield
        return
    end_with_parent(signal.SIGKILL)
    try:
        yield
    except UserError as error:
        said = {"message": error.message, "timestamp": int(time.time()), "sentence": True}
        Path(os.environ[REPLY]).write_text(json.dumps(said), encoding="utf-8")
        # An orderly exit would wait for the other processes, which wait for this one.
        os._exit(error.exit_code)
    except Exception:
        time.sleep(OTHERS_FIRST)
        raise
