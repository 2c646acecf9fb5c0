"""Says what is missing on this machine for a run, and loads no model: ``python -m refuseu.commands.doctor``.

Every sentence names the way out. The exit code is 0 where nothing is missing.
"""

import os

import click

from refuseu.core.terminal import say, tolerate_encodings
from refuseu.parameters import Parameters, WholeMachine, load_all, load_whole_machine
from refuseu.plan.checks import missing, unreachable


def report(parameters: Parameters, machine: WholeMachine) -> bool:
    """Print what is missing, a sentence each, or that nothing is; whether nothing is."""
    lacking = [*missing(parameters, machine), *unreachable(parameters, machine)]
    for sentence in lacking or ["Nothing is missing on this machine."]:
        say(f"Missing: {sentence}" if lacking else sentence)
    return not lacking


def load_named(profile: str | None, machine: str | None) -> tuple[Parameters, WholeMachine]:
    """The parameters with a profile and the machine that options name, or those in force where they are ``None``."""
    if machine:
        os.environ["REFUSEU_MACHINE"] = machine
    return load_all(profile=profile), load_whole_machine()


@click.command(help=__doc__)
@click.option("--profile", help="A file of profiles/; without it the one that params.yaml names.")
@click.option("--machine", help="A file of machines/; without it REFUSEU_MACHINE, or cpu.")
def main(profile: str | None, machine: str | None) -> None:
    tolerate_encodings()
    raise SystemExit(not report(*load_named(profile, machine)))


if __name__ == "__main__":
    main()
