"""Writes the code that each stage depends on into ``dvc.yaml``: ``make deps``.

A stage depends on the import closure of its script, so nobody keeps these lists by hand. All other lines of the file,
comments among them, stay as they are.
"""

import re
from pathlib import Path

import click

from refuseu.files.writing import write_text
from refuseu.pipeline.closure import closure

STARTER = "stages/run"
"""Starts every script, so every stage depends on it."""
STAGE = re.compile(r"^  ([a-z-]+):$")
CODE = re.compile(r"^( +)- (?:src/refuseu|stages)/\S+$")


def with_code(pipeline: str, code: dict[str, list[str]]) -> str:
    """The text of ``dvc.yaml`` with the code of each stage replaced by ``code``, which is paths by stage."""
    lines: list[str] = []
    waiting: list[str] = []
    for line in pipeline.splitlines():
        stage, dependency = STAGE.match(line), CODE.match(line)
        if stage:
            waiting = list(code.get(stage[1], []))
        if not dependency:
            lines.append(line)
        elif waiting:
            lines += [f"{dependency[1]}- {path}" for path in waiting]
            waiting = []
    return "\n".join(lines) + "\n"


def code_of_stages(root: Path) -> dict[str, list[str]]:
    """The code that each script below ``stages/`` needs: the starter, the script, then the library by name."""
    found = {}
    for script in sorted((root / "stages").glob("*.py")):
        own = script.relative_to(root).as_posix()
        found[script.stem] = [STARTER, own, *sorted(closure(script, root) - {own})]
    return found


@click.command(help=__doc__)
def main() -> None:
    path = Path("dvc.yaml")
    write_text(with_code(path.read_text(encoding="utf-8"), code_of_stages(Path.cwd())), path)


if __name__ == "__main__":
    main()
