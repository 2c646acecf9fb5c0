"""Which first-party files a script needs: the files that it imports, directly or through others."""

import ast
from pathlib import Path

SOURCE = "src"
"""The folder of first-party packages, below the repository's root."""


def closure(script: Path, root: Path) -> set[str]:
    """Every first-party file that ``script`` imports, and itself, as paths relative to ``root``.

    Imports inside functions count. Empty files hold nothing to depend on and are left out.
    """
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += first_party_imports(path, root)
    return {path.relative_to(root).as_posix() for path in seen if path.stat().st_size}


def first_party_imports(path: Path, root: Path) -> list[Path]:
    """The first-party files that one file imports by itself.

    Raises:
        ValueError: for a relative import, which is not followed.
    """
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [file for alias in node.names for file in files_of(alias.name, root)]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative imports are not followed")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [file for name in [node.module or "", *names] for file in files_of(name, root)]
    return found


def files_of(module: str, root: Path) -> list[Path]:
    """The file of a first-party module and those of the packages around it; nothing for other names."""
    parts = module.split(".")
    if parts[0] != "refuseu":
        return []
    source = root / SOURCE
    files = [source.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [file for file in [*files, source.joinpath(*parts).with_suffix(".py")] if file.is_file()]
