"""The repository's parameters, to be edited by a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from repository import ROOT

Content = dict[str, Any]
Edit = Callable[[Content, Content], object]
"""Changes what ``params.yaml`` and the profile hold."""


def write(root: Path, edit: Edit = lambda params, profile: None) -> Path:
    """The repository's params.yaml and smoke profile below ``root``, after ``edit``."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | {"profile": "smoke"}
    profile = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    edit(params, profile)
    (root / "profiles").mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (root / "profiles" / "smoke.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    return root


def reading_all_parameters(pipeline: str) -> str:
    """A small ``dvc.yaml`` whose first stage reads all sections, as the project's stages do together: others are refused."""
    small, whole = (yaml.safe_load(text) for text in (pipeline, (ROOT / "dvc.yaml").read_text(encoding="utf-8")))
    entries = [entry for stage in whole["stages"].values() for entry in stage.get("do", stage).get("params", [])]
    own = dict.fromkeys(entry for entry in entries if isinstance(entry, str))
    (file,) = {name for entry in entries if isinstance(entry, dict) for name in entry}
    of_profile = dict.fromkeys(key for entry in entries if isinstance(entry, dict) for key in entry[file])
    next(iter(small["stages"].values()))["params"] = [*own, {file: list(of_profile)}]
    return yaml.safe_dump(small, sort_keys=False)
