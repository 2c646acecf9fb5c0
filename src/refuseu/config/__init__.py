"""Which parameters a stage reads, and how they are loaded.

A stage loads one ``*Config`` class of this file: the names of its fields are the top-level keys that the stage reads, which
``tests/test_pipeline.py`` holds against ``dvc.yaml``.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from refuseu.documents import fault, read_yaml
from refuseu.errors import UserError
from refuseu.parameters import (
    Base,
    Dpo,
    Eval,
    Label,
    Languages,
    Named,
    Parameters,
    RainbowTeaming,
    Report,
    Respond,
    Section,
    Seed,
    Split,
    Train,
    Translate,
)


class BaseConfig(Section):
    seed: Seed
    languages: Languages
    categories: Named
    styles: Named
    base: Base


class RainbowTeamingConfig(Section):
    seed: Seed
    languages: Languages
    categories: Named
    styles: Named
    rainbow_teaming: Annotated[RainbowTeaming, Field(alias="rainbow-teaming")]


class TranslateConfig(Section):
    languages: Languages
    categories: Named
    styles: Named
    translate: Translate


class RespondConfig(Section):
    languages: Languages
    categories: Named
    styles: Named
    respond: Respond


class LabelConfig(Section):
    languages: Languages
    categories: Named
    styles: Named
    label: Label


class SplitConfig(Section):
    seed: Seed
    languages: Languages
    split: Split
    train: Train


class DpoConfig(Section):
    seed: Seed
    dpo: Dpo


class EvalConfig(Section):
    languages: Languages
    categories: Named
    styles: Named
    label: Label
    train: Train
    eval: Eval


class ReportConfig(Section):
    languages: Languages
    report: Report


class ReleaseConfig(Section):
    seed: Seed
    languages: Languages
    categories: Named
    styles: Named
    train: Train
    dpo: Dpo


StageConfig = TypeVar("StageConfig", bound=Section)


def load(stage: type[StageConfig], root: Path = Path()) -> StageConfig:
    """Validate all parameters below ``root`` and return the part that ``stage`` reads.

    Raises:
        UserError: for a file that is missing or not YAML, and for every key that is unknown, missing, out of range, or
            read as something else than it must be.
    """
    raw = _section(root / "params.yaml", "run from the repository's root")
    profile = root / "profiles" / f"{raw.get('profile')}.yaml"
    if not profile.is_file():
        known = ", ".join(sorted(path.stem for path in profile.parent.glob("*.yaml")))
        raise UserError(f"params.yaml: profile {raw.get('profile')!r} is unknown; known are {known}")
    merged = _merge(raw, _section(profile, "see profiles/"), str(profile.relative_to(root)))
    where = f"params.yaml or {profile.relative_to(root)}"
    try:
        Parameters.model_validate(merged)
        return stage.model_validate({key: merged[key] for key in parameter_names(stage)})
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error)}") from None


def parameter_names(stage: type[Section]) -> list[str]:
    """The top-level keys that a stage's config class reads, as they are spelt in YAML."""
    return [field.alias or name for name, field in stage.model_fields.items()]


def _section(path: Path, way_out: str) -> dict[str, Any]:
    content = read_yaml(path, way_out)
    if not isinstance(content, dict):
        raise UserError(f"{path}: must be a mapping of parameter names to values")
    return content


def _merge(params: dict[str, Any], profile: dict[str, Any], profile_name: str) -> dict[str, Any]:
    """Both halves of every section; a key may stand in one file only, so that no value hides another."""
    merged = dict(params)
    for name, section in profile.items():
        own = merged.get(name, {})
        if not isinstance(section, dict) or not isinstance(own, dict):
            raise UserError(f"{profile_name}: {name} must be a section of parameters")
        twice = [key for key in own if key in section]
        if twice:
            raise UserError(f"{profile_name}: {name}.{twice[0]} also stands in params.yaml; keep one of the two")
        merged[name] = {**own, **section}
    return merged


def _explain(error: ValidationError) -> str:
    """Every problem once, by the key as it is spelt in YAML; pydantic's names of types and branches are left out."""
    problems: dict[str, str] = {}
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"] if "[" not in str(part))
        problems[key] = "unknown parameter" if problem["type"] == "extra_forbidden" else fault(problem)
    return "; ".join(f"{key}: {message}" if key else message for key, message in problems.items())
