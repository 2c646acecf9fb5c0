"""Runs a trainer to its end, shows its progress, and stops at the first number that is not finite."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partialmethod
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from refuseu.core.errors import UserError
from refuseu.core.progress import Progress
from refuseu.core.terminal import say
from refuseu.weights.loading import weight_not_finite

if TYPE_CHECKING:
    from torch import nn
    from transformers import Trainer, TrainerCallback

POINTS = 20
"""The curve of a training has about this many points."""
EVERY_STEP: dict[str, Any] = {
    "logging_steps": 1,
    # Otherwise a loss that is not finite is logged as the average of the losses before it.
    "logging_nan_inf_filter": False,
    "disable_tqdm": True,
    "save_strategy": "no",
    "report_to": "none",
}
"""Arguments of every trainer that ``run_training`` runs. Each step is logged, but only for the callbacks that ``run_training``
adds, and nothing is saved unless a training overrides that."""
LIVE = Path("live")
"""Where DVCLive writes the curves of the trainings of an experiment, in a folder each."""
TRACKERS = {"wandb": ("WANDB_", "WANDB_PROJECT"), "mlflow": ("MLFLOW_", "MLFLOW_EXPERIMENT_NAME")}
"""Packages that show trainings elsewhere: how the variables begin that say where, and the one that groups them (``PROJECT``)."""
PROJECT = "refuseu"
"""The group of trainings at Weights & Biases and MLflow, where the shell does not name another."""
WORDS = {"grad_norm": "gradient norm", "rewards/margins": "reward margin"}
"""Plain words for logged values whose names in the trainer are not plain."""
AT_THE_POINT = ("step", "learning_rate")
"""Logged values that are taken from the last step of a point and are not averaged."""

Log = list[dict[str, float]]


def run_training(trainer: "Trainer", stage: str, knobs: dict[str, float], checkpoint: Path | None = None) -> Log:
    """Train, and return the log: one row for each step, with its loss (nats) and the trainer's other measures.

    With a ``checkpoint`` the training continues from there, and the log begins with the rows that the checkpoint holds.

    Raises:
        UserError: at the first step whose loss, gradient norm, margin or new weights are not finite. It names the stage's
            parameters that can be lowered, which are ``knobs``.
    """
    from transformers import PrinterCallback

    section = re.split("[-@ ]", stage)[0]  # of dpo@balanced-0, dpo-single@de and, without DVC, "dpo balanced 0"
    settings = [f"{section}.{name} ({value:g})" for name, value in knobs.items()]
    trainer.remove_callback(PrinterCallback)
    with ExitStack() as open_bars:
        trainer.add_callback(_watch(stage, f"lower {' or '.join(settings)}", open_bars))
        trainer.args.run_name = stage
        for tracker in trackers(stage, resumed=checkpoint is not None):
            trainer.add_callback(_harmless(tracker, stage))
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def _watch(stage: str, way_out: str, open_bars: ExitStack) -> "TrainerCallback":
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        def __init__(self) -> None:
            self._done = 0

        def on_train_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            if state.is_world_process_zero:
                self._progress = open_bars.enter_context(Progress(stage, state.max_steps, "step"))

        def on_log(
            self, _: Any, state: Any, __: Any, *, logs: dict[str, float], model: "nn.Module", **___: Any
        ) -> None:
            done = state.global_step
            wrong = not_finite(logs) or weight_not_finite(model, trained=True)
            if wrong:
                raise UserError(f"{stage}: the {wrong} is not finite at step {done}; {way_out}")
            if state.is_world_process_zero and "loss" in logs:
                self._progress.advance(done - self._done)
                self._done = done

    return Watch()


def trackers(stage: str, resumed: bool = False) -> "Iterator[TrainerCallback]":
    """Yield those that show the curves of a training while it runs; they change nothing in it, and no output holds them.

    DVCLive shows the trainings of an experiment (``dvc exp run``), Weights & Biases and MLflow every training where their
    package is installed and a variable of theirs is set. ``resumed``: whether DVCLive continues the curves that it wrote before.
    """
    from transformers.integrations import get_reporting_integration_callbacks

    if "DVC_EXP_NAME" in os.environ:
        yield _dvclive(LIVE / re.sub("[@ ]", "-", stage), resumed)
    for package, (prefix, group) in TRACKERS.items():
        if any(name.startswith(prefix) for name in os.environ) and find_spec(package):
            os.environ.setdefault(group, PROJECT)
            yield from (each() for each in get_reporting_integration_callbacks(package))


def _dvclive(folder: Path, resumed: bool) -> "TrainerCallback":
    """Writes what is logged below ``folder``, with a ``dvc.yaml`` by which VS Code and ``dvc plots show`` find it.

    That of transformers would write the trainer's arguments too, a hundred columns of ``dvc exp show``.
    """
    from dvclive import Live
    from transformers import TrainerCallback

    class DvcLive(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        def on_train_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            if state.is_world_process_zero:
                self._live = Live(str(folder), resume=resumed, save_dvc_exp=False, dvcyaml=str(folder / "dvc.yaml"))

        def on_log(self, _: Any, state: Any, __: Any, *, logs: dict[str, float], **___: Any) -> None:
            if state.is_world_process_zero and "train_runtime" not in logs:
                self._live.step = state.global_step
                for name, value in logs.items():
                    self._live.log_metric(name, value)
                self._live.make_summary()
                # sync() would add its entries once more each time, and end() the files to the experiment's commit.
                if not Path(self._live.dvc_file).exists():
                    self._live.make_dvcyaml()

    return DvcLive()


def _harmless(tracker: "TrainerCallback", stage: str) -> "TrainerCallback":
    """``tracker``, which is told nothing more after its first error. A server that is down must not end a training."""
    from transformers import TrainerCallback

    class Harmless(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        _on = True

        def _tell(self, event: str, *about: Any, **more: Any) -> None:
            if not self._on:
                return
            try:
                getattr(tracker, event)(*about, **more)
            except Exception as error:
                self._on = False
                said = shorten(str(error), 200, placeholder=" ...")
                say(f"{stage}: {type(tracker).__name__} shows nothing more ({said}); the training goes on", err=True)

    for event in ("on_init_end", "on_train_begin", "on_log", "on_save", "on_evaluate", "on_train_end"):
        setattr(Harmless, event, partialmethod(Harmless._tell, event))
    return Harmless()


def not_finite(logs: dict[str, float]) -> str | None:
    """The first logged value that is NaN or infinite, in plain words, or ``None``."""
    return next((WORDS.get(name, name) for name, value in logs.items() if not math.isfinite(value)), None)


def curve(log: Log) -> Log:
    """``log`` reduced to about ``POINTS`` points: means over stretches of equal length; a shorter rest is left out."""
    stretch = max(1, len(log) // POINTS)
    stretches = [log[end - stretch : end] for end in range(stretch, len(log) + 1, stretch)]
    return [
        {
            name: last if name in AT_THE_POINT else fmean(step[name] for step in steps)
            for name, last in steps[-1].items()
        }
        for steps in stretches
    ]
