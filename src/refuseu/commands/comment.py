"""The comment on a pull request: ``python -m refuseu.commands.comment main``, as Markdown.

Metrics that changed, the regression gate, and the figures. Exits as the gate does: 0 for no regression, 1 for a regression,
2 for a fault; the comment is written before.
"""

import os
import sys
from pathlib import Path

import click

from refuseu.commands.gate import FAULT, faults_apart
from refuseu.commands.processes import reason, run_module
from refuseu.commands.terminal import tolerate_encodings
from refuseu.core.files import write_text
from refuseu.results.markdown import escape

FIGURES = Path("plots/figures")
SHOWN = ("figure2.png", "figure3.png", "consistency.png", "transfer.png")


@click.command(help=__doc__)
@click.argument("base")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(base: str, out: Path) -> None:
    tolerate_encodings()
    metrics = run_module("dvc", "metrics", "diff", "--md", base)
    gate = run_module("refuseu.commands.gate", base)
    lines = [
        "## Evaluation",
        "",
        *([f"Metrics: {escape(reason(metrics))}"] if metrics.returncode else _metrics(metrics.stdout)),
        "",
        gate.stdout or f"Gate: {escape(reason(gate).removeprefix('gate: '))}\n",
        "## Figures",
        "",
    ]
    # CML uploads what a comment links to, relative to the comment's own folder.
    folder = Path(os.path.relpath(FIGURES, out.parent)).as_posix()
    lines += [f"![{name}]({folder}/{name})" for name in SHOWN if (FIGURES / name).is_file()]
    text = "\n".join(lines) + "\n"
    with faults_apart():
        write_text(text, out)
    click.echo(text)
    sys.stderr.write(metrics.stderr + gate.stderr)
    raise SystemExit(FAULT if metrics.returncode or not gate.stdout else gate.returncode)


def _metrics(table: str) -> list[str]:
    rows = table.strip().splitlines()[2:]
    if not rows:
        return ["No metric changed."]
    return ["<details><summary>Metrics that changed</summary>", "", table.strip(), "", "</details>"]


if __name__ == "__main__":
    main()
