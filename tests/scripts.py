"""The stages' scripts as commands, to be run in this process."""

from importlib.util import module_from_spec, spec_from_file_location

import click
from repository import ROOT


def stage(name: str) -> click.Command:
    """The command of ``stages/<name>.py``."""
    spec = spec_from_file_location(f"stage_{name}", ROOT / f"stages/{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    command: click.Command = module.main
    return command
