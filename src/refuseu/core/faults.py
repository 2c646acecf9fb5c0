"""Faults in what people or earlier stages wrote, in one voice: the file, the row or key, what is wrong, and the way out.

Files are described as pydantic models. This is the only module that puts pydantic's kinds of faults into words.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from refuseu.core.errors import UserError

Shape = TypeVar("Shape")

Place = tuple[int | str, ...]
"""Where a value stands in what a file holds, as pydantic names it: keys, positions, and the branches of types."""
MOST = 5
"""A sentence names at most this many faults; a file may have a fault in each of its rows."""
NUMBERED = ("row ", "entry ")
"""What is counted in a list: rows in one that is the whole file, else entries."""
TEXT = ("a text", "write it in quotes")
WHOLE_NUMBER = ("a whole number", "write it in digits, like 12")
NUMBER = ("a number", "write it in digits, like 0.5")
LIST = ("a list", "write it like [a, b]")
MAPPING = ("a mapping of keys to values", "write its keys below its name")
TYPES = {
    "string_type": TEXT,
    "invalid_key": TEXT,
    "int_type": WHOLE_NUMBER,
    "float_type": NUMBER,
    "bool_type": ("a truth value", "write true or false"),
    "list_type": LIST,
    "dict_type": MAPPING,
    "model_type": MAPPING,
}
"""Pydantic's kind of wrong type to what a value must be, and how a person writes that in YAML."""


def validated(
    shape: type[Shape] | TypeAdapter[Shape],
    content: Any,
    where: Path | str | Callable[[Place], str],
    way_out: str | None = None,
) -> Shape:
    """``content``, which stands in the file ``where``, as an object of ``shape``.

    Where it comes from several files, ``where`` names the file of a place. ``way_out`` says what to do about a file that no
    person wrote. Without it, each fault says how to correct the entry.

    Raises:
        UserError: with one sentence that names up to five faults by their keys as they are spelt in the file.
    """
    adapter = shape if isinstance(shape, TypeAdapter) else TypeAdapter(shape)
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        named = where if callable(where) else lambda _: str(where)
        raise UserError(explained(error, content, way_out, named, shape)) from None


def explained(
    error: ValidationError,
    content: Any,
    way_out: str | None = None,
    where: Callable[[Place], str] | None = None,
    shape: Any = None,
) -> str:
    """Every fault that pydantic found in ``content`` once, by its key; names of types and branches are left out.

    With ``where``, each begins with the name of its file, unless the one before it stands in the same file.
    """
    faults: dict[str, tuple[str, str]] = {}
    for problem in error.errors():
        key = _joined(_spelt(problem, content))
        found = f"{key}: {_fault(problem, way_out is None, shape)}".removeprefix(": ")
        faults[key] = (where(problem["loc"]) if where else "", found)
    said: list[str] = []
    before = ""
    for file, found in [*faults.values()][:MOST]:
        said.append(found if file == before else f"{file}: {found}")
        before = file
    more = [f"and {len(faults) - MOST} more"] if len(faults) > MOST else []
    return "; ".join([*said, *more, *([way_out] if way_out else [])])


def _fault(problem: Any, with_correction: bool, shape: Any) -> str:
    """What is wrong with one value; ``problem`` is one of ``ValidationError.errors()``."""
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind in TYPES:
        wanted, correction = TYPES[kind]
        subject = "its name " if kind == "invalid_key" or "[key]" in problem["loc"] else ""
        wrong_type = f"{subject}must be {wanted}, was read as {_read_as(value)}"
        return f"{wrong_type}; {correction}" if with_correction else wrong_type
    match kind:
        case "missing":
            return "missing"
        case "extra_forbidden":
            *place, key = problem["loc"]
            return f"unknown key{nearest(str(key), known_keys(shape, place) if with_correction else ())}"
        case "string_too_short":
            return "must not be empty"
        case "too_short":
            return f"needs at least {context['min_length']}"
        case "union_tag_not_found":
            return f"{_bare(context['discriminator'])} is missing"
        case "union_tag_invalid":
            known = _bare(context["expected_tags"])
            return f"{_bare(context['discriminator'])} {context['tag']!r} is none of {known}"
        case _:
            # A bound or a choice ("Input should be less than 1"), or the sentence of one of our own validators.
            said: str = problem["msg"].removeprefix("Value error, ")
            return said.replace("Input should be", "must be", 1)


def nearest(key: str, known: Iterable[str]) -> str:
    """The question whether the most similar of the ``known`` keys was meant; empty where none is similar."""
    similar = get_close_matches(key, known, n=1)
    return f", is it {similar[0]}?" if similar else ""


def known_keys(shape: Any, place: Sequence[int | str]) -> list[str]:
    """The keys that may stand at a place of what ``shape`` describes; of a section that has kinds, those of its own kind."""
    models = list(_models(shape))
    for part in place:
        fields = [
            field for model in models for name, field in model.model_fields.items() if part == (field.alias or name)
        ]
        of_kind = [model for model in models if any(part in _choices(field) for field in model.model_fields.values())]
        models = [each for field in fields for each in _models(field.annotation)] or of_kind or models
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _models(shape: Any) -> Iterator[type[BaseModel]]:
    """The models of which a type is made."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        yield shape
    else:
        for part in get_args(shape):
            yield from _models(part)


def _choices(field: FieldInfo) -> tuple[Any, ...]:
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _bare(names: str) -> str:
    """Names without the quotes that pydantic puts around each."""
    return names.replace("'", "")


def _read_as(value: Any) -> str:
    """What the file's format took a value for."""
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
            return "a mapping"


def _spelt(problem: Any, content: Any) -> Iterator[str]:
    """The parts of the problem's place that stand in ``content``, and the last one where just that is missing there.

    Pydantic puts the branch of a type, such as ``list[str]`` or the kind of a section, between them, or at the end where a
    section as a whole contradicts itself.
    """
    place = problem["loc"]
    for depth, part in enumerate(place, 1):
        counted = isinstance(content, list) and isinstance(part, int)
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            if depth < len(place) or "[" in str(part) or problem["type"] == "value_error":
                continue
        yield f"{NUMBERED[depth > 1]}{part + 1}" if counted else str(part)


def _joined(parts: Iterator[str]) -> str:
    """One key with dots between its parts, as ``eval.sets``; the number of a row or an entry stands apart."""
    key = before = ""
    for part in parts:
        apart = part.startswith(NUMBERED) or before.startswith(NUMBERED)
        key += f"{'' if not key else ': ' if apart else '.'}{part}"
        before = part
    return key
