"""Runs the pipeline with its trainings two at a time: ``python -m refuseu.commands.repro``, the heart of ``make repro``.

``dvc repro`` runs one stage after the other. Here the trainings that are due are dealt out to two lanes, each a
``dvc repro`` of its own. Whatever ends this command (Ctrl-C, ``kill``, the terminal that is closed) ends all that it started.
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

from refuseu.commands.processes import reason, run_module
from refuseu.commands.terminal import tolerate_encodings
from refuseu.core.errors import UserError

DVC = [sys.executable, "-m", "dvc"]
LANES = 2
TRAINING = "dpo@"
"""What the names of the trainings begin with; all of them wait for the stage ``split``, and for nothing else."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0
"""Seconds that commands have to end by themselves once they are interrupted."""
POLL = 0.05
"""Seconds between two looks at whether a command has ended."""

Processes = list[subprocess.Popen[str]]


def run(*commands: Sequence[str], grace: float = GRACE) -> bool:
    """Run the commands side by side to their ends; whether all succeeded.

    Each has a process group of its own, and none outlives this process. A command that is alone has the terminal to itself; of
    several, each line is passed on whole. ``grace`` is in seconds.

    Raises:
        SystemExit: after a signal, with a shell's exit code for it (128 and its number), when all have ended.
    """
    processes: Processes = []
    with _received() as signals:
        try:
            for command in commands:
                processes.append(_start(command, apart=len(commands) > 1))
            writers = [_pass_on(process.stdout) for process in processes if process.stdout]
            _wait(processes, lambda: bool(signals))
        finally:
            _end([process for process in processes if process.poll() is None], signals, grace)
    if signals:
        click.echo(
            "Interrupted: nothing runs on, what was finished is kept, and `make repro` goes on from there.", err=True
        )
        raise SystemExit(128 + signals[0])
    for writer in writers:
        writer.join()
    return not any(process.returncode for process in processes)


@contextlib.contextmanager
def _received() -> Iterator[list[int]]:
    """The signals to end that come meanwhile, in a list: a handler that raised could do so while a command is being started,
    which nothing would end then.

    What is ignored stays ignored: a closed terminal under ``nohup``, Ctrl-C in the background of a script.
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
    """Wait until all have ended, or ``enough`` says so."""
    while any(process.poll() is None for process in processes) and not enough():
        time.sleep(POLL)


def _end(processes: Processes, signals: list[int], grace: float) -> None:
    """End the commands with all that they started: as Ctrl-C does, so that DVC can let go of its locks, then by force.

    The force comes after ``grace`` seconds, or with the second of the signals.
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


def _start(command: Sequence[str], apart: bool) -> subprocess.Popen[str]:
    """Start a command in a process group of its own; ``apart``: with its output in a pipe and its progress as lines."""
    if not apart:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, text=True)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "REFUSEU_PROGRESS": "log", "PYTHONIOENCODING": "utf-8"},
    )


def _pass_on(lines: IO[str]) -> threading.Thread:
    """Write each line as it comes, in the background; a terminal that is gone must not hold up who writes."""

    def copy() -> None:
        for line in lines:
            with contextlib.suppress(OSError):
                click.echo(line, nl=False)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def stale_stages() -> list[str]:
    """The stages of the pipeline of which DVC knows by now that they have to run, in its order.

    Raises:
        UserError: if DVC cannot tell.
    """
    status = run_module("dvc", "status", "--json")
    if status.returncode:
        raise UserError(f"dvc status: {reason(status)}")
    return list(json.loads(status.stdout))


def reproduce() -> None:
    """Bring the pipeline up to date.

    Raises:
        UserError: if a stage fails, which has said why by then.
    """
    if not stale_stages():
        click.echo("Data and pipelines are up to date.")
        return
    _repro(["split"])
    trainings = [stage for stage in stale_stages() if stage.startswith(TRAINING)]
    if len(trainings) > 1:
        _repro(*(["--single-item", *trainings[lane::LANES]] for lane in range(LANES)))
    _repro([])


def _repro(*targets: list[str]) -> None:
    if not run(*([*DVC, "--wait-for-lock", "repro", *names] for names in targets)):
        raise UserError("a stage failed, as said above; what was finished is kept, and `make repro` goes on from there")


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    reproduce()


if __name__ == "__main__":
    main()
