"""JSON that an earlier stage wrote."""

import json
from pathlib import Path
from typing import Any

from refuseu.errors import UserError

Row = dict[str, Any]
"""A row of a JSON file under ``metrics/`` or ``plots/``."""


def read_json(path: Path) -> Any:
    """Read a JSON file of an earlier stage.

    Raises:
        UserError: when it is missing or broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as JSON ({error}); 'git restore {path}' or 'dvc repro' brings it back"
        ) from None
