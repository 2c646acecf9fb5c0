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
