"""What an LLM is told of the hazard categories: a name and a line each."""

from collections.abc import Mapping
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.experiment import RESTRICTED


def read_hazards(path: Path, categories: Mapping[str, str]) -> dict[str, str]:
    """``Name: definition`` of each of ``categories`` (key to name) but the restricted ones, from ``data/prompts/hazards.yaml``.

    Raises:
        UserError: for a file that cannot be read, or that does not define a category.
    """
    definitions = read_yaml(path, f"'git restore {path}' brings the project's own back", texts=True)
    hazards = {}
    for key, name in categories.items():
        if key in RESTRICTED:
            continue
        definition = definitions.get(key) if isinstance(definitions, dict) else None
        if not isinstance(definition, str) or not definition.strip():
            raise UserError(f"{path}: no definition of category {key} ({name}); write a line '{key}: …'")
        hazards[key] = f"{name}: {definition.strip()}"
    return hazards
