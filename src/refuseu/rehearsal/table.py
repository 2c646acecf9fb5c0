"""What a rehearsal shows: stage by stage what ran, what each role answered, and what the full run takes by what was measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import pandas as pd

from refuseu.llm.settings import BASE
from refuseu.parameters import WholeMachine
from refuseu.plan.arithmetic import Run, hours_here, work_of
from refuseu.plan.models import short
from refuseu.rehearsal.reading import Asked, Reading
from refuseu.rehearsal.watch import Seen
from refuseu.results.markdown import Table, shown

Count = Callable[[str, str], int]
"""Tokens of a text as a model counts them, whose name comes first."""


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


def roles(everyone: Sequence[Asked], reading: Reading, count: Count, by: Callable[[str], str]) -> Table:
    """What each model answered in each stage; ``by`` says who answered in its name."""
    rows = []
    for each in everyone:
        read = [count(each.model, prompt) for prompt in each.prompts]
        wrote = [count(each.model, said.text) for _, said in each.answers]
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


def full_run(run: Run, machine: WholeMachine, everyone: Sequence[Asked], training: tuple[float, int]) -> Table:
    """Hours of the full run: its rows, times the seconds that a row took here, and one loading of each model.

    Args:
        run: of the full sizes, as ``make plan`` counts them.
        machine: where the full run is to be.
        everyone: what was asked here.
        training: seconds of the stage dpo, its start among them, and the pairs that it trained on.
    """
    measured: dict[tuple[str, str], tuple[float | None, float]] = {
        (each.stage, each.model): (each.seconds / each.rows, each.loading) for each in everyone if each.rows
    }
    measured["dpo", BASE] = training[0] / training[1], 0.0
    rows, total, planned = [], 0.0, 0.0
    for (stage, name), line in work_of(run).items():
        seconds, loading = measured.get((stage, name), (None, 0.0))
        hours = None if seconds is None else (line.rows * seconds + loading) / 3600
        plan = hours_here(run, machine, {(stage, name): line})
        total, planned = total + (hours or 0.0), planned + (plan or 0.0)
        rows.append([stage, name, short(line.rows), shown(seconds, ".4f"), shown(hours), shown(plan)])
    rows.append(["all", "", "", "", f"{total:.1f}", f"{planned:.1f}"])
    return Table(["stage", "model", "rows", "seconds a row", "hours by this", "hours by make plan"], rows, names=2)
