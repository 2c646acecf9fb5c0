"""One YAML file of texts for each language, named by the language's code."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.files import read_yaml


class InLanguage(BaseModel):
    """Texts of one language."""

    language: str


Texts = TypeVar("Texts", bound=InLanguage)


def read_language(texts: type[Texts], path: Path, way_out: str) -> Texts:
    """The texts of the language whose code is the file's name.

    Raises:
        UserError: for a file that is missing or cannot be read (``way_out`` says what to do then), or that is not YAML; for an
            entry that is unknown, missing or wrong; and for the texts of another language.
    """
    found = validated(texts, read_yaml(path, way_out, texts=True), path)
    if found.language != path.stem:
        raise UserError(f"{path}: language: is {found.language!r}, the file's name says {path.stem!r}")
    return found
