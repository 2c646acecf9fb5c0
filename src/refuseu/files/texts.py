"""YAML files of texts: each value as it stands there."""

from pathlib import Path
from typing import Any

import yaml

from refuseu.errors import UserError
from refuseu.files.repeated import first_repeated
from refuseu.files.yaml import place


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
