"""First-party files that a file imports, directly or through others; imports inside functions count."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"


def closure(script: Path) -> set[str]:
    """Paths relative to the repository's root, ``script`` itself among them; empty files hold nothing to depend on."""
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += first_party_imports(path)
    return {str(path.relative_to(ROOT)) for path in seen if path.stat().st_size}


def first_party_imports(path: Path) -> list[Path]:
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [file for alias in node.names for file in files_of(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative imports are not followed")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [file for name in [node.module or "", *names] for file in files_of(name)]
    return found


def files_of(module: str) -> list[Path]:
    """The file of a first-party module and those of the packages around it; nothing for other names."""
    parts = module.split(".")
    if parts[0] != "refuseu":
        return []
    files = [SOURCE.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [file for file in [*files, SOURCE.joinpath(*parts).with_suffix(".py")] if file.is_file()]
