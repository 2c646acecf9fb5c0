"""``make torture``: stages that are killed, and what that costs.

The pipeline of the smoke profile runs undisturbed first, in a clone of the last commit; a server on this machine refuses and
rules, so that each answer is counted as a paid one. Then one stage after the other runs from an empty row store, is ended at a
moment that the seed draws, and runs again. Counted are the answers that had to be asked a second time, the outputs whose bytes
are not those of the undisturbed run, processes that outlive their stage, and tracebacks.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import click
import psutil

from refuseu.core.errors import UserError
from refuseu.llm.protocol import Conversation
from refuseu.parameters import load_all
from refuseu.real_model import Values, clone, committed, set_values
from refuseu.rehearsal.server import Script, serving

FOLDER = Path(".cache/torture")
CONCURRENCY = 8
"""Requests that are under way at once: so many answers a kill may cost, and not one more."""
PATIENCE = 300
"""Seconds after which a stage that was told to end, or that runs again, counts as hanging."""
ORPHANS = 15
"""Seconds that the processes of a stage have to end after it."""
TRACEBACK = "Traceback (most recent call last)"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
OUTPUTS = {
    "base": ("models/base",),
    "rainbow-teaming": ("data/rainbow-teaming",),
    "respond": ("data/respond",),
    "label": ("data/label",),
    "dpo balanced 0": ("models/dpo/balanced/0",),
    "eval": ("data/eval", "plots/eval"),
}
"""What each stage that is killed writes, below the clone."""
ORDER = ("base", "rainbow-teaming", "translate", "respond", "label", "split", "dpo balanced 0", "eval")
SERVED = {"engine": "openai", "model": "served"}
SETTINGS: Values = {
    "params.yaml": {
        "profile": "smoke",
        "languages": ["en", "de"],
        "categories": {"S1": "Violent Crimes", "S2": "Non-Violent Crimes", "S8": "Intellectual Property"},
        "styles": {
            "slang": "Slang",
            "technical_terms": "Technical terms",
            "role_play": "Role play",
            "misspellings": "Misspellings",
        },
        "train.seeds": [0],
        "train.single": [],
        "train.languages": ["de"],
        "train.configs": {"balanced": {"languages": "all"}},
        "report.benign_pairs": None,
    },
    "profiles/smoke.yaml": {
        "models.served": SERVED,
        "respond.refuser": {"kind": "llm", "model": "served", "max_new_tokens": 64},
        "respond.rejected": {"kind": "llm", "model": "served", "max_new_tokens": 64},
        "label.adjudicator": {"kind": "chat", "model": "served"},
        "dpo.steps": 40,
    },
}


class Counting(Script):
    """Counts the answers that it gave, and sets ``reached`` at one of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answered, self.limit, self.reached = 0, 0, Event()

    def count(self, limit: int) -> None:
        """Begin to count anew."""
        self.answered, self.limit, self.reached = 0, limit, Event()

    def says(self, model: str, asked: Conversation) -> str:
        self.answered += 1
        if self.answered == self.limit:
            self.reached.set()
        return super().says(model, asked)


@dataclass
class Tally:
    """What the kills of one stage by one signal cost."""

    kills: int = 0
    asked_twice: list[int] = field(default_factory=list)
    """Answers that were paid for a second time, a number a kill."""
    other_bytes: int = 0
    orphans: int = 0
    """Processes that outlived their stage."""
    tracebacks: int = 0


@dataclass(frozen=True)
class Undisturbed:
    """A stage that nobody disturbed."""

    seconds: float
    answers: int
    """Answers of the server."""
    digest: str


class Torture:
    """The clone, its server and the undisturbed runs."""

    def __init__(self, root: Path, script: Counting, stages: list[str]) -> None:
        self.root, self.script, self.stages = root, script, stages
        self.undisturbed: dict[str, Undisturbed] = {}

    def prepare(self) -> None:
        """Run all stages once, each from an empty store."""
        for stage in ORDER[: max(map(ORDER.index, self.stages)) + 1]:
            self.script.count(0)
            began = time.monotonic()
            code, said = self.end(self.start(stage, f"undisturbed-{stage}"))
            if code:
                raise UserError(f"{stage}: fails undisturbed: {said[-2000:]}")
            seconds = time.monotonic() - began
            self.undisturbed[stage] = Undisturbed(seconds, self.script.answered, self.digest(stage))
            click.echo(f"undisturbed: {stage}: {seconds:.1f} s, {self.script.answered} answers")

    def kill(self, stage: str, number: int, by: signal.Signals, rng: random.Random, tally: Tally) -> None:
        """Start a stage, end it by a signal, run it again and count what that cost."""
        whole, store = self.undisturbed[stage], f"kill-{number}"
        self.clear(stage)
        self.script.count(rng.randint(1, whole.answers) if whole.answers else 0)
        process = self.start(stage, store)
        if whole.answers:
            self.wait(process, PATIENCE)
        else:
            self.wait(process, rng.uniform(0.3, 1.0) * whole.seconds)
        family = members(process)
        send(process, by)
        code, said = self.end(process)
        tally.kills += 1
        tally.orphans += count_alive(family)
        paid = self.script.answered
        self.script.count(0)
        again, told = self.end(self.start(stage, store))
        if again:
            raise UserError(f"{stage}: after {by.name} (exit code {code}) it fails: {told[-2000:]}")
        if TRACEBACK in said + told:
            tally.tracebacks += 1
            click.echo(f"{stage}: {by.name}: {(said + told).partition(TRACEBACK)[2]}", err=True)
        tally.asked_twice.append(paid + self.script.answered - whole.answers)
        tally.other_bytes += self.digest(stage) != whole.digest

    def wait(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        """Until the answer that was drawn is given, the time is over, or the stage has ended by itself."""
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end and not self.script.reached.wait(0.01):
            pass

    def start(self, stage: str, store: str) -> "subprocess.Popen[bytes]":
        given = {"REFUSEU_STORE": str((self.root / f"{store}.sqlite").absolute()), "REFUSEU_MACHINE": "torture"}
        given |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        given |= {"PYTHONPATH": str((self.root / "src").absolute()), "NO_PROXY": "127.0.0.1"}
        with self._said(store).open("wb") as said:
            return subprocess.Popen(
                ["stages/run", *stage.split()],
                cwd=self.root,
                env={**os.environ, **given},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                preexec_fn=hear_ctrl_c,
            )

    def _said(self, store: str) -> Path:
        self._last = self.root / f"{store}.log"
        return self._last

    def end(self, process: "subprocess.Popen[bytes]") -> tuple[int, str]:
        """The exit code, and what the stage printed.

        Raises:
            UserError: when it does not end.
        """
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise UserError(f"{process.args}: has not ended after {PATIENCE} s; see {self._last}") from None
        return code, self._last.read_text(encoding="utf-8", errors="replace")

    def clear(self, stage: str) -> None:
        """Take away what the stage wrote, as DVC does before a run."""
        for path in OUTPUTS[stage]:
            shutil.rmtree(self.root / path)

    def digest(self, stage: str) -> str:
        """SHA-256 over the names and bytes of all that the stage wrote."""
        hashed = sha256()
        for path in OUTPUTS.get(stage, ()):
            for file in sorted(each for each in (self.root / path).rglob("*") if each.is_file()):
                hashed.update(f"{file.relative_to(self.root)}\0".encode() + file.read_bytes())
        return hashed.hexdigest()


def hear_ctrl_c() -> None:
    """For a new process: as typed in a terminal, where this one may run in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def members(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [*psutil.Process(process.pid).children(recursive=True)]
    return []


def send(process: "subprocess.Popen[bytes]", by: signal.Signals) -> None:
    """Kill and TERM are for the stage's own process, as the kernel and Slurm send them; a terminal tells the whole group."""
    with suppress(ProcessLookupError):
        if by in (signal.SIGKILL, signal.SIGTERM):
            process.send_signal(by)
        else:
            os.killpg(process.pid, by)


def count_alive(family: list[psutil.Process]) -> int:
    """How many processes outlive their stage; those are ended then."""
    _, alive = psutil.wait_procs(family, timeout=ORPHANS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return len(alive)


@contextmanager
def tortured(root: Path, stages: list[str]) -> Iterator[Torture]:
    """The pipeline in the clone ``root``, set up and run undisturbed."""
    set_values(root, SETTINGS)
    script = Counting(load_all(root), root / "data")
    with serving(script) as url:
        training = {"device": "cpu", "processes": 1, "batch_size": 16, "accelerate": "none"}
        machine: dict[str, Any] = {
            "workers": 2,
            "loaded": 1,
            "transformers": {"batch_size": 16, "device": "cpu"},
            "openai": {"base_url": url, "concurrency": CONCURRENCY, "retries": 0, "timeout": 60.0},
            "training": {**training, "gradient_checkpointing": False, "checkpoint_every": 10},
        }
        (root / "machines/torture.yaml").write_text("{}\n", encoding="utf-8")
        set_values(root, {"machines/torture.yaml": machine})
        torture = Torture(root, script, stages)
        torture.prepare()
        yield torture


def table(tallies: dict[tuple[str, str], Tally]) -> str:
    """A row a stage and signal, and a last one of all."""
    head = ("stage", "signal", "kills", "answers asked twice", "most", "other bytes", "left alive", "tracebacks")
    rows = [(*names, *_cells(tally)) for names, tally in sorted(tallies.items())]
    every = Tally()
    for tally in tallies.values():
        every.kills += tally.kills
        every.asked_twice += tally.asked_twice
        every.other_bytes += tally.other_bytes
        every.orphans += tally.orphans
        every.tracebacks += tally.tracebacks
    rows.append(("all", "", *_cells(every)))
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _cells(tally: Tally) -> tuple[int, ...]:
    twice = tally.asked_twice
    return tally.kills, sum(twice), max(twice, default=0), tally.other_bytes, tally.orphans, tally.tracebacks


def torture(root: Path, kills: int, seed: int, stages: list[str]) -> dict[tuple[str, str], Tally]:
    """Kill each of ``stages`` in turn, by each signal in turn, ``kills`` times in all."""
    rng, tallies = random.Random(seed), dict[tuple[str, str], Tally]()
    with tortured(root, stages) as victim:
        for number in range(kills):
            stage, by = stages[number % len(stages)], SIGNALS[number // len(stages) % len(SIGNALS)]
            tally = tallies.setdefault((stage, by.name), Tally())
            victim.kill(stage, number, by, rng, tally)
            twice = tally.asked_twice[-1]
            click.echo(f"{number + 1} of {kills}: {stage} by {by.name}: {twice} answers asked twice")
    return tallies


@click.command()
@click.option("--kills", type=click.IntRange(1), default=100, show_default=True, help="How often a stage is ended.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the moments.")
@click.option("--stage", "stages", multiple=True, type=click.Choice(list(OUTPUTS)), help="A stage; by default all six.")
def main(kills: int, seed: int, stages: tuple[str, ...]) -> None:
    """End stages at drawn moments by SIGKILL, SIGTERM, SIGHUP and SIGINT, run them again, and print what it cost."""
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        clone(committed(), FOLDER / "clone")
        for results in ("metrics", "plots"):
            shutil.rmtree(FOLDER / "clone" / results)
        tallies = torture(FOLDER / "clone", kills, seed, list(stages) or list(OUTPUTS))
    except UserError as error:
        raise click.ClickException(error.message) from None
    click.echo(f"\n{table(tallies)}")


if __name__ == "__main__":
    main()
