"""Loads what a stage reads: its own sections of ``params.yaml`` and of the chosen profile."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from refuseu.errors import UserError
from refuseu.files.yaml import read_yaml
from refuseu.parameters.section import Section

Read = TypeVar("Read", bound=Section)


def load(stage: type[Read], root: Path = Path()) -> Read:
    """The parameters that ``stage`` reads: its fields are the keys that are the stage's ``params`` in ``dvc.yaml``.

    A key is a section, or a part of one with a dot between, like ``models.base``.

    Raises:
        UserError: for a file that is missing or not YAML, and for every key of these that is unknown, missing or wrong.
    """
    merged, where = merged_sections(root)
    names = [field.alias or name for name, field in stage.model_fields.items()]
    try:
        return stage.model_validate({name: found for name in names if (found := _at(merged, name)) is not None})
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()
        )
        raise UserError(f"{where}: {said}; 'python -m refuseu.config' checks all parameters") from None


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
