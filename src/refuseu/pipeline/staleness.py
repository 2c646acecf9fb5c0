"""Which stages an edit of a file reruns, as a table: ``make staleness`` writes ``docs/staleness.md``.

A stage reruns when a file that it depends on changes, whatever the change is. What comes after it reruns only where its
outputs are other bytes: a new comment reruns the stages of this table alone.
"""

from pathlib import Path

import click

from refuseu.files.writing import write_text
from refuseu.markdown import Table
from refuseu.pipeline.deps import code_of_stages

PAGE = Path("docs/staleness.md")
HEAD = """\
# What an edit reruns

`make staleness` writes this page from the imports; a test holds it against them. A stage reruns when a file that it depends
on changes. What comes after it reruns only where its outputs become other bytes.
"""


def stages_by_file(code: dict[str, list[str]]) -> dict[str, list[str]]:
    """For each file the stages that depend on it, both in the order of ``code``, which is paths by stage."""
    found: dict[str, list[str]] = {}
    for stage, paths in code.items():
        for path in paths:
            found.setdefault(path, []).append(stage)
    return dict(sorted(found.items()))


def page(code: dict[str, list[str]], lines: dict[str, int]) -> str:
    """The Markdown page: how many lines of code each stage depends on, and the stages of each file."""
    sizes = Table(
        ["stage", "files", "lines"],
        [[stage, str(len(paths)), str(sum(lines[path] for path in paths))] for stage, paths in code.items()],
    )
    files = Table(
        ["file", "lines", "an edit reruns"],
        [[path, str(lines[path]), ", ".join(stages)] for path, stages in stages_by_file(code).items()],
        prose=True,
    )
    return "\n".join([HEAD, "## Code by stage\n", sizes.markdown(), "\n## Stages by file\n", files.markdown(), ""])


def page_of(root: Path) -> str:
    """The page for the code below ``root`` as it is now."""
    code = code_of_stages(root)
    lines = {path: len((root / path).read_text(encoding="utf-8").splitlines()) for path in stages_by_file(code)}
    return page(code, lines)


@click.command(help=__doc__)
def main() -> None:
    write_text(page_of(Path.cwd()), PAGE)


if __name__ == "__main__":
    main()
