"""Sections of parameters: what they are made of, and how a stage loads its own."""

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.core.files import read_yaml


class Section(BaseModel):
    """A group of parameters."""

    # Without the input in errors: a secret may have been written where none belongs.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""As large as numpy's may be."""


Read = TypeVar("Read", bound=Section)


def load(stage: type[Read], root: Path = Path()) -> Read:
    """The parameters that ``stage`` reads: its fields are the keys that are the stage's ``params`` in ``dvc.yaml``.

    A key is a section, or a part of one with a dot between, like ``models.base``.

    Raises:
        UserError: for a file that is missing or not YAML, and for every key of these that is unknown, missing or wrong.
    """
    merged, where = merged_sections(root)
    names = [field.alias or name for name, field in stage.model_fields.items()]
    own = {name: found for name in names if (found := _at(merged, name)) is not None}
    return validated(stage, own, where)


def _at(sections: dict[str, Any], key: str) -> Any:
    """What stands at a key; ``None`` where nothing does."""
    name, _, part = key.partition(".")
    section = sections.get(name)
    if not part:
        return section
    return section.get(part) if isinstance(section, dict) else None


def merged_sections(root: Path, profile: str | None = None) -> tuple[dict[str, Any], str]:
    """Both halves of every section, and the names of the two files that they stand in; ``profile`` in place of the one named."""
    params = _sections(root / "params.yaml", "run from the repository's root")
    params |= {"profile": profile} if profile else {}
    name = f"profiles/{params.get('profile')}.yaml"
    known = ", ".join(sorted(path.stem for path in (root / "profiles").glob("*.yaml")))
    chosen = _sections(root / name, f"params.yaml: profile must be one of {known}")
    for section, own in chosen.items():
        other = params.get(section, {})
        for file, half in ((name, own), ("params.yaml", other)):
            if not isinstance(half, dict):
                raise UserError(f"{file}: {section} must be a section of parameters")
        twice = [key for key in own if key in other]
        if twice:
            raise UserError(f"{name}: {section}.{twice[0]} also stands in params.yaml; keep one of the two")
    return {**params, **{key: {**own, **params.get(key, {})} for key, own in chosen.items()}}, f"params.yaml or {name}"


def _sections(path: Path, way_out: str) -> dict[str, Any]:
    content = read_yaml(path, way_out)
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold parameters by their names, like 'seed: 1'")
    return content


DEFAULT = "cpu"


def machine_file(root: Path = Path()) -> tuple[Path, Any]:
    """The file that ``REFUSEU_MACHINE`` names, the two cores of ``machines/cpu.yaml`` by default, and what it says.

    Raises:
        UserError: for a machine that has no file, and for a file that is not YAML.
    """
    name = os.environ.get("REFUSEU_MACHINE") or DEFAULT
    path = root / "machines" / f"{name}.yaml"
    known = ", ".join(sorted(each.stem for each in path.parent.glob("*.yaml")))
    return path, read_yaml(path, f"REFUSEU_MACHINE must be one of: {known}")
