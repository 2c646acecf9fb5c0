"""The section ``training`` of a machine: apart from the others, so that an edit of theirs reruns no training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.sections import Positive, Section, machine_file


class TrainingMachine(Section):
    """How a training is spread over devices; it decides how fast a model is trained, not which one."""

    device: Literal["cpu", "cuda"]
    processes: Positive
    """Each has a device of its own; more than one are started by ``accelerate launch``."""
    batch_size: Positive
    """Preference pairs that one device takes at once, at most; the steps' gradients are summed up to ``dpo.batch_size``."""
    accelerate: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    """A file of ``machines/accelerate/`` that says how a model is spread (``fsdp2``, ``zero3``); ``none``: a copy a device."""
    gradient_checkpointing: bool
    """Compute activations twice rather than keep them: less memory, about a third slower."""
    checkpoint_every: Positive
    """Optimizer steps between two checkpoints, which a training that was killed goes on from."""

    def accumulation(self, batch_size: int) -> tuple[int, int]:
        """Pairs that a device takes at once, and how often it does so, to make a step of ``batch_size`` pairs.

        Raises:
            UserError: where the devices cannot share a step out evenly.
        """
        share, rest = divmod(batch_size, self.processes)
        at_once = min(self.batch_size, share)
        if rest or share % at_once:
            raise UserError(
                f"dpo.batch_size: {batch_size} pairs a step cannot be shared out by training.processes ({self.processes}) "
                f"that take up to {self.batch_size} at once; choose training.processes and training.batch_size in machines/ "
                "so that their product divides it"
            )
        return at_once, share // at_once


class _WithTraining(Section):
    training: TrainingMachine


def load_training_machine(root: Path = Path()) -> TrainingMachine:
    """The section ``training`` of the machine that ``REFUSEU_MACHINE`` names.

    Raises:
        UserError: for a machine that has no file or no such section, and for keys that are unknown, missing or out of range.
    """
    path, content = machine_file(root)
    own = {"training": content.get("training")} if isinstance(content, dict) else content
    return validated(_WithTraining, own, path).training
