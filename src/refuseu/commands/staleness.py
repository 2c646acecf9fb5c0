"""Which stages an edit reruns, by room: ``make staleness`` writes ``docs/staleness.md``.

A stage reruns when a file that ``dvc.yaml`` names for it, or one in a folder named there, has changed. What comes after it
reruns only where its outputs become other bytes.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from refuseu.core.files import read_yaml, write_text
from refuseu.core.terminal import tolerate_encodings
from refuseu.results.markdown import Table

PAGE = Path("docs/staleness.md")
HEAD = """\
# What an edit reruns

`make staleness` writes this page from `dvc.yaml` and the imports, and a test holds it against both. A stage reruns when a
file of a room that it depends on changes; what comes after it reruns only where its outputs become other bytes. The stages
that ask models find their rows in the row store again, so such a rerun takes seconds. Nothing remembers a training: the rooms
of `dpo` hold not one line that it does not import.
"""
CODE = ("src/", "stages/")
"""Where first-party code lies, below the repository's root."""
START = "src/refuseu/core/environment.py"
"""The module in which ``stages/run`` starts every stage."""
NAMED = re.compile(r"(refuseu(?:\.\w+)+):\w+")
"""How a registry names what it loads when it is asked for: ``refuseu.judges.lexicon:Lexicon``."""


def imported(script: Path, root: Path) -> set[str]:
    """Every first-party file that ``script`` imports, directly or through others, and itself, relative to ``root``.

    Imports inside functions count, and so does what a registry names. Empty files hold nothing to depend on and are left out.
    """
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports_of(path, root)
    return {path.relative_to(root).as_posix() for path in seen if path.stat().st_size}


def imports_of(path: Path, root: Path) -> list[Path]:
    """The first-party files that one file imports by itself.

    Raises:
        ValueError: for a relative import, which is not followed.
    """
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(level=0, module=str(module), names=names):
                modules = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.ImportFrom():
                raise ValueError(f"{path}: relative imports are not followed")
            case ast.Constant(value=str(text)) if named := NAMED.fullmatch(text):
                modules = [named[1]]
            case _:
                continue
        found += [file for module in modules for file in _files_of(module, root)]
    return found


def _files_of(module: str, root: Path) -> list[Path]:
    """The file of a first-party module and those of the packages around it; nothing for other names."""
    parts = module.split(".")
    if parts[0] != "refuseu":
        return []
    source = root / "src"
    files = [source.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [file for file in [*files, source.joinpath(*parts).with_suffix(".py")] if file.is_file()]


def declared(root: Path) -> dict[str, list[str]]:
    """The code that each stage of ``dvc.yaml`` depends on, as it is named there: a file, or a folder for all below it."""
    stages: dict[str, Any] = read_yaml(root / "dvc.yaml", "run from the repository's root")["stages"]
    bodies = [body.get("do", body) for body in stages.values()]
    # By script: two stages train, one of them the models of a single language.
    return {body["cmd"].split()[1]: [each for each in body["deps"] if each.startswith(CODE)] for body in bodies}


def files_below(path: str, root: Path) -> set[str]:
    """The files with code that a dependency stands for."""
    place = root / path
    files = place.rglob("*.py") if place.is_dir() else [place]
    return {file.relative_to(root).as_posix() for file in files if file.stat().st_size}


def _lines(paths: set[str], root: Path) -> int:
    return sum(len((root / path).read_text(encoding="utf-8").splitlines()) for path in paths)


def covered(paths: Iterable[str], root: Path) -> set[str]:
    """The files with code that several dependencies stand for together."""
    return {file for path in paths for file in files_below(path, root)}


def used(stage: str, root: Path) -> set[str]:
    """The files with code that run when a stage runs: its start, and all that its script imports."""
    return {"stages/run"} | imported(root / START, root) | imported(root / "stages" / f"{stage}.py", root)


def _stage_rows(stages: dict[str, list[str]], root: Path) -> Iterator[list[str]]:
    for stage, paths in stages.items():
        files = covered(paths, root)
        yield [stage, str(_lines(files, root)), str(_lines(files - used(stage, root), root))]


def _room_rows(stages: dict[str, list[str]], root: Path) -> Iterator[list[str]]:
    for path in sorted({path for paths in stages.values() for path in paths}):
        rerun = [stage for stage, paths in stages.items() if path in paths]
        yield [path, str(_lines(files_below(path, root), root)), ", ".join(rerun)]


def page(root: Path) -> str:
    """The Markdown page for the code below ``root`` as it is now."""
    named = declared(root)
    stages = Table(["stage", "lines", "of them not imported"], list(_stage_rows(named, root)))
    rooms = Table(["an edit in", "lines", "reruns"], list(_room_rows(named, root)), prose=True)
    return "\n".join([HEAD, "## By room\n", rooms.markdown(), "\n## By stage\n", stages.markdown(), ""])


@click.command(help=__doc__)
def main() -> None:
    tolerate_encodings()
    write_text(page(Path.cwd()), PAGE)


if __name__ == "__main__":
    main()
