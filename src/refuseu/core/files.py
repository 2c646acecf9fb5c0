"""Readers of YAML and JSON, and writers that write a file completely or not at all."""

import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refuseu.core.errors import UserError


def read_yaml(path: Path, way_out: str, texts: bool = False) -> Any:
    """The content of a YAML file, with the types that DVC reads. With ``texts`` every value is a text, also ``no`` and ``1984``,
    and all of them are in the form in which texts are compared (NFC).

    Raises:
        UserError: for a file that is missing or cannot be read (``way_out`` says what to do then), for one that is not YAML, and
            for a key that stands twice in a mapping.
    """
    try:
        content = path.read_text(encoding="utf-8")
        return YAML(typ="base").load(unicodedata.normalize("NFC", content)) if texts else YAML(typ="safe").load(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    except (YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {_place(error)}") from None


def _place(error: Exception) -> str:
    """The line and the fault where the parser knows them, and otherwise its whole message in one line."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else " ".join(str(error).split())


Row = dict[str, Any]
"""A row of a JSON file under ``metrics/`` or ``plots/``."""


def read_json(path: Path, way_out: str | None = None) -> Any:
    """The content of a JSON file that an earlier stage wrote. ``way_out`` says how to get it back, where that is not by Git.

    Raises:
        UserError: when the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        brings = way_out or f"'git restore {path}' or 'dvc repro' brings it back"
        raise UserError(f"{path}: cannot be read as JSON ({error}); {brings}") from None


def write_json(content: Any, path: Path, digits: int = 4) -> None:
    """Write ``content`` as indented JSON in the order of its keys, with floats rounded to ``digits`` decimals.

    Raises:
        ValueError: for NaN and infinity, which do not exist in JSON.
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
    """Yield a temporary path beside ``path``, which is renamed to ``path`` at the end."""
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
