"""YAML that people write, read as DVC reads it: ``no`` and ``on`` are texts, ``1e-3`` and ``012`` are numbers."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refuseu.errors import UserError


def read_yaml(path: Path, way_out: str) -> Any:
    """What the file says.

    Raises:
        UserError: for a file that is missing or cannot be read (``way_out`` says what to do then), or is not YAML.
    """
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    except (YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {place(error)}") from None


def place(error: Exception) -> str:
    """The line and the fault, where the parser knows them, else all that it says."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else " ".join(str(error).split())
