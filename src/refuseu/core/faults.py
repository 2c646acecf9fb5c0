"""What is wrong with an entry that people wrote, in their words."""

import datetime
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

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


def fault(problem: Any) -> str:
    """What is wrong with an entry; ``problem`` is one of pydantic's ``ValidationError.errors()``."""
    kind, value = problem["type"], problem["input"]
    if kind == "too_short":
        return f"needs at least {problem['ctx']['min_length']}"
    if kind == "union_tag_not_found":
        return f"{problem['ctx']['discriminator']} is missing"
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


def explained(error: ValidationError, content: Any) -> str:
    """Every problem of ``content`` once, by the key as it is spelt in YAML; pydantic's names of types and branches are left
    out.
    """
    problems: dict[str, str] = {}
    for problem in error.errors():
        key = ".".join(_spelt(problem, content))
        problems[key] = "unknown parameter" if problem["type"] == "extra_forbidden" else fault(problem)
    return "; ".join(f"{key}: {message}" if key else message for key, message in problems.items())


def _spelt(problem: Any, content: Any) -> Iterator[str]:
    """The parts of the problem's place that stand in ``content``, and the last one where just that is missing there.

    A branch of a type, like ``list[str]`` or the kind of a section, stands between them, or at the end where a section as a
    whole is at odds with itself.
    """
    place = problem["loc"]
    for depth, part in enumerate(place, 1):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            if depth < len(place) or "[" in str(part) or problem["type"] == "value_error":
                continue
        yield str(part)
