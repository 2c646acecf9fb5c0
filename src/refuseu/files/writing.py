"""Files that are written whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from refuseu.errors import UserError


def write_json(content: Any, path: Path, digits: int = 4) -> None:
    """Write ``content`` as indented JSON in the order of its keys, floats rounded to ``digits`` decimals.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
    """
    exact = json.dumps(content, allow_nan=False)
    rounded = json.loads(exact, parse_float=lambda number: round(float(number), digits) + 0.0)
    write_text(json.dumps(rounded, indent=2, ensure_ascii=False) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write ``text`` as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` and renames it at the end."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free the place, or name another"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
