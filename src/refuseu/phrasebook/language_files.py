"""YAML files of texts: each value as it stands there."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from refuseu.core.errors import UserError
from refuseu.core.faults import fault
from refuseu.core.files import first_repeated, place


class InLanguage(BaseModel):
    """Texts of one language, in a file by its code."""

    language: str


Texts = TypeVar("Texts", bound=InLanguage)


class _TextLoader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    """YAML whose every value is a text, and whose mappings may not name a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        second = first_repeated(keys)
        if second is not None:
            mark = node.value[second][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, f'found duplicate key "{keys[second]}"', mark)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def read_texts(path: Path, way_out: str) -> Any:
    """What a file of texts says: each of its values as it stands there, ``no`` and ``1984`` too.

    Raises:
        UserError: for a file that is missing or cannot be read (``way_out`` says what to do then), or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _TextLoader)  # no loader of objects
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {place(error)}") from None


def read_language(texts: type[Texts], path: Path, way_out: str) -> Texts:
    """The texts of the language whose code is the file's name.

    Raises:
        UserError: as ``read_texts`` does; for an entry that is unknown, missing or wrong, and for another language's texts.
    """
    content = read_texts(path, way_out)
    try:
        found = texts.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"{path}: {key or 'file'}: {fault(problem)}") from None
    if found.language != path.stem:
        raise UserError(f"{path}: language: is {found.language!r}, the file's name says {path.stem!r}")
    return found
