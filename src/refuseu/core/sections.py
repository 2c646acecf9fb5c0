"""The base class for sections of parameters, and the loader with which a stage reads its own sections."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from refuseu.core.errors import UserError
from refuseu.core.faults import Place, nearest, validated
from refuseu.core.files import read_yaml
from refuseu.core.paths import inside

PARAMS, PROFILE, PIPELINE = "params.yaml", "profiles/${profile}.yaml", "dvc.yaml"
"""The files of parameters, as ``dvc.yaml`` names them, and ``dvc.yaml``."""


class Section(BaseModel):
    """A group of parameters that belong together in a file."""

    # The input is kept out of errors, since somebody may have written a secret where none belongs.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @classmethod
    def completed(cls, sections: dict[str, Any], root: Path) -> dict[str, Any]:
        """``sections`` with what they name in other files below ``root``; here there is no such thing."""
        return sections


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""The bound is that of numpy's seeds."""


def by_registry(entry: Any, key: str, registry: Mapping[str, str]) -> Any:
    """Validate an entry of a profile by the class that a registry names for it.

    Args:
        entry: what the profile says. Settings that are validated already are returned as they are.
        key: the key of the entry that says which class it is.
        registry: what may stand at the key, and the place of each class.

    Raises:
        ValueError: when the key is missing or its value unknown, and for settings that the class does not take.
    """
    if not isinstance(entry, dict):
        return entry  # settings already, or what pydantic then says cannot be settings
    name = entry.get(key)
    if name is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"{key} {name!r} is none of {', '.join(registry)}")
    return resolve_name(registry[name]).model_validate(entry)


Value = TypeVar("Value")


def distinct(values: list[Value]) -> list[Value]:
    """``values`` themselves, if they all differ.

    Raises:
        ValueError: for the first value that stands twice.
    """
    second = first_repeated(values)
    if second is not None:
        raise ValueError(f"{values[second]!r} stands twice")
    return values


def first_repeated(values: Sequence[Any]) -> int | None:
    """The position of the first value that repeats an earlier one, or ``None`` where all differ."""
    return next((place for place, value in enumerate(values) if value in values[:place]), None)


Read = TypeVar("Read", bound=Section)


def load(stage: type[Read], root: Path = Path(), profile: str | None = None) -> Read:
    """Read the parameters of a stage. The fields of ``stage`` are the keys under the stage's ``params`` in ``dvc.yaml``.

    A key is the name of a section, or of a part of one, such as ``models.base``. ``profile`` takes the place of the one that
    ``params.yaml`` names.

    Raises:
        UserError: for a file that is missing or is not YAML, for each of these keys that is unknown, missing or wrong, and for a
            section that no stage reads.
    """
    merged, where = merged_sections(root, profile)
    names = [field.alias or name for name, field in stage.model_fields.items()]
    own = {name: found for name in names if (found := _at(merged, name)) is not None}
    return validated(stage, stage.completed(own, root), where)


def _at(sections: Any, key: str) -> Any:
    """The value at a key, or ``None`` where the key does not stand."""
    name, _, part = key.partition(".")
    found = sections.get(name) if isinstance(sections, dict) else None
    return _at(found, part) if part else found


def merged_sections(root: Path, profile: str | None = None) -> tuple[dict[str, Any], Callable[[Place], str]]:
    """All sections, merged from params.yaml and the profile (``profile``, or the one that params.yaml names).

    Returns:
        The sections, and a function that names the file in which a place of them stands.

    Raises:
        UserError: for a file that is missing or is not YAML, for a key that stands in both, and for a section that no stage reads
            from the file in which it stands.
    """
    params = _sections(root / PARAMS, "run from the repository's root")
    params |= {"profile": profile} if profile else {}
    name = f"profiles/{params.get('profile')}.yaml"
    known = ", ".join(sorted(path.stem for path in (root / "profiles").glob("*.yaml")))
    inside(root / "profiles", f"{params.get('profile')}.yaml", "params.yaml: profile")
    chosen = _sections(root / name, f"params.yaml: profile must be one of {known}")
    for section, own in chosen.items():
        other = params.get(section, {})
        for file, half in ((name, own), (PARAMS, other)):
            if not isinstance(half, dict):
                raise UserError(f"{file}: {section} must be a section of parameters")
        twice = [key for key in own if key in other]
        if twice:
            raise UserError(f"{name}: {section}.{twice[0]} also stands in params.yaml; keep one of the two")
    _assert_read({PARAMS: params, name: chosen}, root)

    def where(place: Place) -> str:
        keys = [key for part in place[:1] for key in str(part).split(".")] + [*place[1:]]
        files = {PARAMS: params, name: chosen}
        for depth in (2, 1):
            found = [file for file, content in files.items() if _holds(content, keys[:depth])]
            if len(found) == 1:
                return found[0]
        return f"{PARAMS} or {name}"

    return {**params, **{key: {**own, **params.get(key, {})} for key, own in chosen.items()}}, where


def _holds(content: Any, keys: Sequence[int | str]) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return bool(keys)


def _assert_read(files: dict[str, dict[str, Any]], root: Path) -> None:
    """Fail for a section that no stage reads from its file, by what the stages in ``dvc.yaml`` declare."""
    if not (root / PIPELINE).is_file():
        return
    read = _declared(read_yaml(root / PIPELINE, "'git restore dvc.yaml' brings it back"))
    (params, content), (profile, chosen) = files.items()
    for file, sections, own, other, there in (
        (params, content, PARAMS, PROFILE, profile),
        (profile, chosen, PROFILE, PARAMS, params),
    ):
        unread = next((name for name in sections if name not in read[own]), None)
        if unread in read[other]:
            raise UserError(f"{file}: {unread}: no stage reads this section here; write it into {there}")
        if unread is not None:
            raise UserError(f"{file}: {unread}: unknown section{nearest(str(unread), read[own] | read[other])}")


def _declared(pipeline: Any) -> dict[str, set[str]]:
    """The sections that the stages read, of ``params.yaml`` and of the profile."""
    read: dict[str, set[str]] = {PARAMS: {"profile"}, PROFILE: set()}
    for stage in pipeline["stages"].values():
        for entry in stage.get("do", stage).get("params", ()):
            file, keys = (PARAMS, [entry]) if isinstance(entry, str) else next(iter(entry.items()))
            read[file] |= {key.partition(".")[0] for key in keys}
    return read


def _sections(path: Path, way_out: str) -> dict[str, Any]:
    """The sections of a file, without those whose name begins with ``x-``, which may hold its author's anchors of YAML."""
    content = read_yaml(path, way_out)
    if not isinstance(content, dict):
        back = f"; it is empty, and 'git restore {path}' brings the last commit's back" if content is None else ""
        raise UserError(f"{path}: must hold parameters by their names, like 'seed: 1'{back}")
    return {name: section for name, section in content.items() if not str(name).startswith("x-")}


DEFAULT = "cpu"


def machine_file(root: Path = Path()) -> tuple[Path, Any]:
    """The file of the machine that ``REFUSEU_MACHINE`` names, by default ``machines/cpu.yaml``, and the file's content.

    Raises:
        UserError: for a machine without a file, and for a file that is not YAML.
    """
    name = os.environ.get("REFUSEU_MACHINE") or DEFAULT
    path = inside(root / "machines", f"{name}.yaml", "REFUSEU_MACHINE")
    known = ", ".join(sorted(each.stem for each in path.parent.glob("*.yaml")))
    return path, read_yaml(path, f"REFUSEU_MACHINE must be one of: {known}")
