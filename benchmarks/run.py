"""Measure CPU seconds and peak memory at the paper's sizes; prints a table, and writes it with a figure to .cache/bench."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

Row = dict[str, Any]

CASES = Path(__file__).with_name("cases.py")
FOLDER = Path(".cache/bench")
SIZES = {
    "near_by_product": [1_000, 2_000, 4_000, 8_000],
    "near_by_filters": [1_000, 2_000, 4_000, 8_000, 30_000, 100_000],
    "highest": [10_000, 100_000],
    "fill": [100_000, 1_000_000, 5_000_000],
    "find_one_by_one": [100_000, 1_000_000, 5_000_000],
    "find_at_once": [100_000, 1_000_000, 5_000_000],
    "pairs": [60_000, 240_000, 1_200_000],
    "label": [60_000, 240_000, 1_200_000],
    "split": [60_000, 240_000, 1_200_000],
}
COMPARED = {"near_by_filters": "near_by_product", "find_at_once": "find_one_by_one"}
"""Our case to the plain case that it is compared with."""
RUNS = 3
"""Compared cases run so often and their lowest CPU seconds count, because other processes disturb a run. Others run once."""


def measured(name: str, rows: int) -> Row:
    """Return the fastest run of a case."""
    runs = RUNS if name in {*COMPARED, *COMPARED.values()} else 1
    return min((_run(name, rows) for _ in range(runs)), key=lambda row: float(row["seconds"]))


def _run(name: str, rows: int) -> Row:
    """Run one case in a process of its own, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CASES), name, str(rows)]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(run.stdout)
    return row


def table(rows: list[Row]) -> str:
    """Return the measurements as Markdown; a ratio is the plain case's number over ours, at the same rows."""
    by_case = {(row["case"], row["rows"]): row for row in rows}
    lines = [
        "| case | rows | CPU s | peak MB | times faster | times less memory |",
        "| :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        plain = by_case.get((COMPARED.get(row["case"], ""), row["rows"]))
        ratios = [f"{plain[unit] / max(row[unit], 0.01):.1f}" if plain else "" for unit in ("seconds", "megabytes")]
        cells = [row["case"], f"{row['rows']:,}", f"{row['seconds']:.2f}", f"{row['megabytes']:,}", *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[Row], path: Path) -> None:
    """Draw a line for each case: CPU seconds and peak memory by rows, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, unit, label in zip(
        figure.subplots(1, 2), ("seconds", "megabytes"), ("CPU seconds", "peak MB"), strict=True
    ):
        for name in dict.fromkeys(row["case"] for row in rows):
            points = [(row["rows"], max(row[unit], 0.01)) for row in rows if row["case"] == name]
            style = "--" if name in COMPARED.values() else "-"
            axes.loglog(*zip(*points, strict=True), style, marker="o", markersize=3, label=name)
        axes.set(xlabel="rows", ylabel=label)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)


@click.command(help=__doc__)
@click.option("--most", type=int, default=5_000_000, show_default=True, help="Leave out cases of more rows.")
def main(most: int) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, sizes in SIZES.items():
        for size in sizes:
            if size <= most:
                rows.append(measured(name, size))
                click.echo(f"{name} {size:,}: {rows[-1]['seconds']} s, {rows[-1]['megabytes']} MB", err=True)
    for left in (*FOLDER.glob("rows-*.sqlite"), *FOLDER.glob("pairs-*.parquet")):
        left.unlink()
    for stage in ("label", "split"):
        shutil.rmtree(FOLDER / stage)
    (FOLDER / "table.md").write_text(table(rows), encoding="utf-8")
    draw(rows, FOLDER / "figure.png")
    click.echo(table(rows))
    click.echo(f"{FOLDER / 'table.md'} and {FOLDER / 'figure.png'} hold them")


if __name__ == "__main__":
    main()
