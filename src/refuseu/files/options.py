"""Options of the scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def path_option(name: str, help: str | None = None) -> Callable[[Any], Any]:
    """A required option that names a file or a folder."""
    return click.option(name, type=click.Path(path_type=Path), required=True, help=help)
