"""Options of the stages' scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def path_option(name: str, default: str, help: str | None = None) -> Callable[[Any], Any]:
    """An option that names a file or a folder, by default the one that ``dvc.yaml`` names for the stage.

    ``{argument}`` in the default stands for what is given for an argument of the command, which must be eager.
    """

    def path(context: click.Context, _: click.Parameter, value: str) -> Path:
        return Path(value.format(**context.params) if value == default else value)

    return click.option(name, default=default, show_default=True, callback=path, help=help)
