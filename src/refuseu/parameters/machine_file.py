"""Which file of ``machines/`` says where the work runs."""

import os
from pathlib import Path
from typing import Any

from refuseu.files.yaml import read_yaml

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
