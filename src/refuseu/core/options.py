"""The command line options of the stages' scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def path_option(name: str, default: str, help: str | None = None) -> Callable[[Any], Any]:
    """An option that names a file or a folder. Its default is the path that ``dvc.yaml`` names for the stage.

    ``{argument}`` in the default is replaced by the value of that argument of the command, which must be eager.
    """

    def path(context: click.Context, _: click.Parameter, value: str) -> Path:
        return Path(value.format(**context.params) if value == default else value)

    return click.option(name, default=default, show_default=True, callback=path, help=help)
