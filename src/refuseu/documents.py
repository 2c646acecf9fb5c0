"""YAML that people write: read strictly, and its faults said in their words."""

import datetime
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refuseu.errors import UserError

TEXT = ("a text", "write it in quotes")
WHOLE_NUMBER = ("a whole number", "write it in digits, like 12")
NUMBER = ("a number", "write it in digits, like 0.5")
LIST = ("a list", "write it like [a, b]")
SECTION = ("a section of entries", "write the entries below its name")
EXPECTED = {
    "string_type": TEXT,
    "invalid_key": TEXT,
    "int_type": WHOLE_NUMBER,
    "float_type": NUMBER,
    "list_type": LIST,
    "dict_type": SECTION,
    "model_type": SECTION,
}
"""Pydantic's kind of wrong type to what an entry must be, and how that is written."""
WORDS = {
    "extra_forbidden": "unknown entry",
    "missing": "missing",
    "string_too_short": "must not be empty",
}
"""Pydantic's kind of fault to what is said of it; others are said in its own words."""


class _TextLoader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    """YAML whose every value is a text, and whose mappings may not name a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        second = first_repeated(keys)
        if second is not None:
            mark = node.value[second][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, f'found duplicate key "{keys[second]}"', mark)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def read_yaml(path: Path, way_out: str) -> Any:
    """What the file says, read as DVC reads it: ``no`` and ``on`` are texts, ``1e-3`` and ``012`` are numbers.

    Raises:
        UserError: for a file that is missing (``way_out`` says what to do then), cannot be read, or is not YAML.
    """
    return _read(path, way_out, YAML(typ="safe").load)


def read_texts(path: Path, way_out: str) -> Any:
    """What a file of texts says: each of its values as it stands there, ``no`` and ``1984`` too.

    Raises:
        UserError: as ``read_yaml`` does.
    """
    return _read(path, way_out, partial(yaml.load, Loader=_TextLoader))


def _read(path: Path, way_out: str, parse: Callable[[str], Any]) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file; {way_out}")
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    except (YAMLError, yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {_place(error)}") from None


def _place(error: Exception) -> str:
    """The line and the fault, where the parser knows them, else all that it says."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else " ".join(str(error).split())


def fault(problem: Any) -> str:
    """What is wrong with an entry; ``problem`` is one of pydantic's ``ValidationError.errors()``."""
    kind, value = problem["type"], problem["input"]
    if kind == "too_short":
        return f"needs at least {problem['ctx']['min_length']}"
    if kind in EXPECTED:
        wanted, way_out = EXPECTED[kind]
        subject = "its name " if kind == "invalid_key" or "[key]" in problem["loc"] else ""
        return f"{subject}must be {wanted}, was read as {_read_as(value)}; {way_out}"
    said: str = WORDS.get(kind, problem["msg"].removeprefix("Value error, "))
    return said


def _read_as(value: Any) -> str:
    """What YAML took an entry for."""
    match value:
        case None | "":
            return "nothing"
        case bool():
            return f"the truth value {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case datetime.date():
            return f"the date {value}"
        case str():
            return f"the text {value!r}"
        case list():
            return "a list"
        case _:
            return "a section of entries"


def distinct(values: list[str]) -> list[str]:
    """``values``, where each stands once.

    Raises:
        ValueError: for the first that stands twice.
    """
    second = first_repeated(values)
    if second is not None:
        raise ValueError(f"{values[second]!r} stands twice")
    return values


def first_repeated(values: Sequence[Any]) -> int | None:
    """The position of the first value that stood before; ``None`` where all differ."""
    return next((place for place, value in enumerate(values) if value in values[:place]), None)
