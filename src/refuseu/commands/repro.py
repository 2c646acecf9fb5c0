"""Runs the pipeline with several trainings at a time: ``python -m refuseu.commands.repro``, the heart of ``make repro``.

``dvc repro`` runs one stage after the other. This command divides the trainings that have to run among several processes of
``dvc repro``, its lanes: two on CPUs, and on GPUs as many as there are GPUs for, each with GPUs of its own. Whatever ends the
command (Ctrl-C, ``kill``, a closed terminal) also ends everything that it has started.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import click

from refuseu.core.errors import UserError
from refuseu.core.files import kept_folder, write_text
from refuseu.core.parent import end_with_parent
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.dpo.checkpoints import remove_locked
from refuseu.dpo.machine import TrainingMachine, load_training_machine
from refuseu.plan import host
from refuseu.review.causes import broken_file
from refuseu.review.processes import outside_of_hooks, reason, run_module

DVC = [sys.executable, "-m", "dvc"]
ON_CPUS = 2
"""Processes of ``dvc repro`` that train at the same time on a machine that trains on its CPUs."""
LOG = "dvc.log"
"""The file of ``kept_folder`` that holds what DVC said when it could not begin."""
TRAINING = ("dpo@", "dpo-single@")
"""What the names of trainings begin with. All trainings wait for the stage ``split``, and for nothing else."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0
"""Seconds that an interrupted command has to end by itself."""
POLL = 0.05
"""Seconds between two looks at whether a command has ended."""

Processes = list[subprocess.Popen[str]]
Lane = dict[str, str]
"""What the environment of a process of ``dvc repro`` holds beside the shell's: the GPUs that its trainings may use."""
Heard = Callable[[str], None]
"""Is told each line that a command writes, as it is passed on."""
GOES_ON = "what was finished is kept, and the same command goes on from there"


def run(
    *commands: Sequence[str],
    lanes: Sequence[Lane] = (),
    grace: float = GRACE,
    heard: Heard | None = None,
    kept: str = GOES_ON,
) -> bool:
    """Run the commands in parallel to their ends, and say whether all of them succeeded.

    Each command has its own process group, and none outlives this process. A single command to which nobody listens (``heard``)
    writes to the terminal itself; of others, every line is passed on whole. The environment of each command is the shell's with
    its part of ``lanes``. ``grace`` is in seconds; ``kept`` says after a signal what becomes of the work.

    Raises:
        SystemExit: after a signal, when all commands have ended, with a shell's exit code for that signal (128 and its number).
    """
    processes: Processes = []
    with _received() as signals:
        try:
            for command, lane in zip(commands, lanes or [{}] * len(commands), strict=True):
                processes.append(_start(command, lane, passed_on=len(commands) > 1 or heard is not None))
            writers = [_pass_on(process.stdout, heard) for process in processes if process.stdout]
            _wait(processes, lambda: bool(signals))
        finally:
            _end([process for process in processes if process.poll() is None], signals, grace)
    if signals:
        say(f"Interrupted: nothing runs on, {kept}.", err=True)
        raise SystemExit(128 + signals[0])
    for writer in writers:
        writer.join()
    return not any(process.returncode for process in processes)


@contextlib.contextmanager
def _received() -> Iterator[list[int]]:
    """Collect the signals to end in a list. A handler that raised might do so while a command is being started, and nothing
    would end that command.

    A signal that was ignored stays ignored: a closed terminal under ``nohup``, or Ctrl-C in the background of a script.
    """
    signals: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda received, _: signals.append(received))
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Processes, enough: Callable[[], bool]) -> None:
    """Wait until all processes have ended, or until ``enough`` is true."""
    while any(process.poll() is None for process in processes) and not enough():
        time.sleep(POLL)


def _end(processes: Processes, signals: list[int], grace: float) -> None:
    """End the processes with all that they have started: first as Ctrl-C does, so that DVC releases its locks, then by force.

    Force is used after ``grace`` seconds, or when a second signal arrives.
    """
    latest = time.monotonic() + grace
    _send(signal.SIGINT, processes)
    _wait(processes, lambda: len(signals) > 1 or time.monotonic() > latest)
    _send(signal.SIGKILL, processes)
    for process in processes:
        process.wait()


def _send(number: signal.Signals, processes: Processes) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _start(command: Sequence[str], lane: Lane, passed_on: bool) -> subprocess.Popen[str]:
    """Start a command in its own process group. One that is passed on writes into a pipe, and shows its progress as lines."""
    shared = {"REFUSEU_PROGRESS": "log", "PYTHONIOENCODING": "utf-8"} if passed_on else {}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if passed_on else None,
        stderr=subprocess.STDOUT if passed_on else None,
        process_group=0,
        preexec_fn=end_with_parent,
        encoding="utf-8",
        errors="replace",
        env={**outside_of_hooks(), **shared, **lane},
    )


def _pass_on(lines: IO[str], heard: Heard | None) -> threading.Thread:
    """Write each line as it arrives, in the background. A terminal that is gone must not hold up the command."""

    def copy() -> None:
        for line in lines:
            if heard:
                heard(line)
            with contextlib.suppress(OSError):
                say(line, nl=False)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def stale_stages() -> list[str]:
    """The stages that DVC already knows to be out of date, in the order of the pipeline.

    Raises:
        UserError: if DVC cannot tell.
    """
    status = run_module("dvc", "status", "--json")
    if status.returncode:
        write_text(status.stderr, kept_folder() / LOG)
        raise UserError(
            f"{broken_file() or f'dvc status: {reason(status)}'} (all that DVC said: {kept_folder() / LOG})"
        )
    return list(json.loads(status.stdout))


def lanes_of(machine: TrainingMachine) -> list[Lane]:
    """Which trainings of one machine may run beside each other: an environment for each lane of them.

    On GPUs a training takes ``training.processes`` of those that are there, and the lanes share none: eight trainings of one
    process on eight GPUs, and one of eight processes. TRL refuses a process alone that sees more than one GPU. A training on
    several nodes has all of them for itself.
    """
    if machine.nodes > 1:
        return [{}]
    if machine.device == "cpu":
        return [{}] * ON_CPUS
    names, taken = host.gpu_names(), machine.processes
    # Where there are too few, the stage itself says so.
    starts = range(0, len(names) - taken + 1, taken)
    return [{"CUDA_VISIBLE_DEVICES": ",".join(names[start : start + taken])} for start in starts] or [{}]


def reproduce() -> None:
    """Bring the pipeline up to date.

    Raises:
        UserError: if a stage fails; by then the stage has said why.
    """
    if not stale_stages():
        say("Data and pipelines are up to date.")
        return
    _repro(["split"])
    trainings = [stage for stage in stale_stages() if stage.startswith(TRAINING)]
    lanes = lanes_of(load_training_machine())[: len(trainings)]
    if len(lanes) > 1 or any(lanes):
        _repro(*(["--single-item", *trainings[first :: len(lanes)]] for first in range(len(lanes))), lanes=lanes)
    _repro([])


def _repro(*targets: list[str], lanes: Sequence[Lane] = ()) -> None:
    if not run(*([*DVC, "--wait-for-lock", "repro", *names] for names in targets), lanes=lanes):
        raise UserError(broken_file() or f"a stage failed, as said above; {GOES_ON}")


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    reproduce()
    remove_locked()


if __name__ == "__main__":
    main()
