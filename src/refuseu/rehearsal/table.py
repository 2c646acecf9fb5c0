"""What a rehearsal shows: stage by stage what ran, what each role answered, and what the full run takes by what was measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, WholeMachine
from refuseu.plan.arithmetic import Run, hours_here, work_of
from refuseu.plan.models import short
from refuseu.rehearsal.reading import Asked, Reading
from refuseu.rehearsal.watch import Seen, Steps
from refuseu.results.markdown import Table, shown

Tokens = Callable[[str, str], list[int]]
"""Tokens of a text as a model reads them, whose name comes first."""


def stages(seen: Mapping[str, Seen], root: Path) -> Table:
    """Seconds, rows and memory of each stage; the pipeline that ran lies in ``root``."""
    rows = [
        [stage, f"{each.seconds:.0f}", _rows_of(stage, root), f"{each.host_gb:.1f}", shown(each.gpu_gb or None)]
        for stage, each in seen.items()
    ]
    rows.append(["all", f"{sum(each.seconds for each in seen.values()):.0f}", "", "", ""])
    return Table(["stage", "seconds", "rows written", "host GB", "GPU GB"], rows)


def _rows_of(stage: str, root: Path) -> str:
    if stage == "dpo":
        return str(sum(json.loads(file.read_text())["rows"] for file in root.glob("metrics/dpo/*/*.json")))
    if stage == "eval":
        return str(len(pd.read_parquet(root / "data/eval/answers.parquet")))
    file = root / f"metrics/{stage}.json"
    return str(json.loads(file.read_text()).get("rows_out", "")) if file.is_file() else ""


def roles(everyone: Sequence[Asked], reading: Reading, tokens: Tokens, by: Callable[[str], str]) -> Table:
    """What each model answered in each stage; ``by`` says who answered in its name."""
    rows = []
    for each in everyone:
        read = [len(tokens(each.model, prompt)) for prompt in each.prompts]
        wrote = [len(tokens(each.model, said.text)) for _, said in each.answers]
        speed = (sum(read) + sum(wrote)) / each.seconds if each.seconds else None
        rows.append(
            [
                each.stage,
                each.model,
                by(each.model),
                str(each.rows),
                f"{fmean(read):.0f}",
                shown(fmean(wrote) if wrote else None, ".0f"),
                shown(reading.unparsed(each), ".0f"),
                shown(reading.declined(each), ".0f"),
                f"{each.loading:.1f}",
                shown(speed, ",.0f"),
            ]
        )
    header = ["stage", "model", "played by", "rows", "read", "wrote", "unparsed", "declined", "load s", "tokens/s"]
    return Table(header, rows, names=3)


class Training(NamedTuple):
    """What the training took."""

    pair: float | None
    """Seconds a pair, by the steps after the first; ``None`` where they could not be timed."""
    once: float
    """Seconds of the whole stage but for its steps: what each training takes beside them, whatever its length."""


def training_of(steps: Steps, stage: Seen, parameters: Parameters) -> Training:
    """What the training of a rehearsal took, whose parameters these are."""
    count = parameters.dpo.steps_for(0)
    if steps.seconds is None:
        return Training(None, stage.seconds)
    return Training(steps.seconds / parameters.dpo.batch_size, max(0.0, stage.seconds - count * steps.seconds))


def full_run(run: Run, machine: WholeMachine, everyone: Sequence[Asked], training: Training) -> Table:
    """Hours of the full run by what was measured here, and by ``make plan`` with its arithmetic.

    Args:
        run: of the full sizes, as ``make plan`` counts them.
        machine: where the full run is to be.
        everyone: what was asked here.
        training: what was trained here; the full run has many trainings.
    """
    measured: dict[tuple[str, str], tuple[float | None, float]] = {
        (each.stage, each.model): (each.seconds / each.rows, each.loading) for each in everyone if each.rows
    }
    measured["dpo", BASE] = training.pair, len(run.parameters.train.runs) * training.once
    rows, total, planned = [], 0.0, 0.0
    for (stage, name), line in work_of(run).items():
        seconds, once = measured.get((stage, name), (None, None))
        hours = None if seconds is None else (line.rows * seconds + (once or 0.0)) / 3600
        plan = hours_here(run, machine, {(stage, name): line})
        total, planned = total + (hours or 0.0), planned + (plan or 0.0)
        work = [f"{(line.read + line.written) / line.rows:.0f}", f"{line.reading + line.writing:.1e}"]
        rows.append(
            [stage, name, short(line.rows), shown(seconds, ".4f"), shown(once, ".0f"), shown(hours), *work, shown(plan)]
        )
    rows.append(["all", *[""] * 4, f"{total:.1f}", "", "", f"{planned:.1f}"])
    header = ["stage", "model", "rows", "s a row", "s once", "hours", "tokens a row", "operations", "hours by plan"]
    return Table(header, rows, names=2)
