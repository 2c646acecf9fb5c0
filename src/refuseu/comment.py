"""The comment on a pull request: ``python -m refuseu.comment main``, as Markdown.

Metrics that changed, the regression gate, and the figures; exits as the gate does.
"""

import os
import subprocess
import sys
from pathlib import Path

import click

from refuseu.records import write_text

FIGURES = Path("plots/figures")
SHOWN = ("figure2.png", "figure3.png", "transfer.png")


@click.command(help=__doc__)
@click.argument("base")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(base: str, out: Path) -> None:
    metrics = _run("dvc", "metrics", "diff", "--md", base)
    gate = _run("refuseu.gate", base)
    lines = [
        "## Evaluation",
        "",
        *(_metrics(metrics.stdout) if metrics.returncode == 0 else [f"Metrics: {metrics.stderr.strip()}"]),
        "",
        gate.stdout or f"Gate: {gate.stderr}",
        "## Figures",
        "",
    ]
    # CML uploads what a comment links to, relative to the comment's own folder.
    folder = Path(os.path.relpath(FIGURES, out.parent)).as_posix()
    lines += [f"![{name}]({folder}/{name})" for name in SHOWN if (FIGURES / name).is_file()]
    text = "\n".join(lines) + "\n"
    write_text(text, out)
    click.echo(text)
    sys.stderr.write(metrics.stderr + gate.stderr)
    raise SystemExit(metrics.returncode or gate.returncode)


def _metrics(table: str) -> list[str]:
    if not table.strip():
        return ["No metric changed."]
    return ["<details><summary>Metrics that changed</summary>", "", table.strip(), "", "</details>"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this environment."""
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
