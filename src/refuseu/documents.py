"""YAML that people write: read strictly, and its faults said in their words."""

from pathlib import Path
from typing import Any

import yaml

from refuseu.errors import UserError

WORDS = {
    "extra_forbidden": "unknown entry",
    "missing": "missing",
    "model_type": "must be a section of entries",
    "dict_type": "must be a section of entries",
    "string_too_short": "must not be empty",
}
"""Pydantic's kind of fault to what is said of it; others are said in its own words."""


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML whose mappings may not name a key twice; by itself the last one silently wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def read_yaml(path: Path, way_out: str) -> Any:
    """What the file says.

    Raises:
        UserError: for a file that is missing (``way_out`` says what to do then) or is not YAML.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; {way_out}")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def fault(problem: Any) -> str:
    """What is wrong with an entry; ``problem`` is one of pydantic's ``ValidationError.errors()``."""
    if problem["type"] == "too_short":
        return f"needs at least {problem['ctx']['min_length']}"
    said: str = WORDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    return said
