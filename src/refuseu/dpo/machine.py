"""The section ``training`` of a machine. It is apart from the other sections, so that an edit of those reruns no training."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.sections import Positive, Section, machine_file


class TrainingMachine(Section):
    """How a training is spread over devices. This decides how fast a model is trained, and not which model results."""

    device: Literal["cpu", "cuda"]
    processes: Positive
    """Of each node. Each process has a device of its own. Several processes are started by ``accelerate launch``."""
    nodes: Positive = 1
    """Machines that train one model together. All but the first are made nodes by ``make join``."""
    batch_size: Positive
    """Preference pairs that a device takes at once, at most. Their gradients are summed until ``dpo.batch_size`` is reached."""
    accelerate: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    """A file of ``machines/accelerate/`` that says how the model is spread (``fsdp2``, ``zero3``), or ``none`` for a copy on each
    device.
    """
    gradient_checkpointing: bool
    """Whether activations are computed twice and not kept, which takes less memory and is about a third slower."""
    checkpoint_every: Positive
    """Optimizer steps between two checkpoints. A training that was killed continues from the last one."""

    @property
    def devices(self) -> int:
        """The processes of all nodes together."""
        return self.nodes * self.processes

    def accumulation(self, batch_size: int) -> tuple[int, int]:
        """How many pairs a device takes at once, and how many times, for a step of ``batch_size`` pairs on all devices.

        Raises:
            UserError: when a step cannot be divided evenly among the devices.
        """
        share, rest = divmod(batch_size, self.devices)
        at_once = min(self.batch_size, share)
        if rest or share % at_once:
            nodes = f" on each of training.nodes ({self.nodes})" if self.nodes > 1 else ""
            raise UserError(
                f"dpo.batch_size: {batch_size} pairs a step cannot be shared out by training.processes ({self.processes}){nodes} "
                f"that take up to {self.batch_size} at once; choose training.processes and training.batch_size in machines/ "
                f"so that their product{' with the nodes' * bool(nodes)} divides it"
            )
        return at_once, share // at_once


def assert_four_bits(machine: TrainingMachine) -> None:
    """Fail where a machine cannot train beside a base in 4 bits.

    Raises:
        UserError: without the package for it, and where accelerate would have to divide the base.
    """
    key = "dpo.method.load_in_4bit"
    if machine.accelerate != "none":
        raise UserError(
            f"{key}: each device holds the whole base in 4 bits, which {machine.accelerate} does not divide; take "
            "training.accelerate: none in machines/, or load_in_4bit: false"
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"{key}: takes the package bitsandbytes, which is not installed; "
            "'.venv/bin/uv pip install bitsandbytes==0.50.2' brings it"
        )


class _WithTraining(Section):
    training: TrainingMachine


def load_training_machine(root: Path = Path()) -> TrainingMachine:
    """The section ``training`` of the machine that ``REFUSEU_MACHINE`` names.

    Raises:
        UserError: for a machine without a file or without this section, and for keys that are unknown, missing or out of range.
    """
    path, content = machine_file(root)
    own = {"training": content.get("training")} if isinstance(content, dict) else content
    return validated(_WithTraining, own, path).training
