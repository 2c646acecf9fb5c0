"""Runs a profile end to end with few rows, before the expensive run: ``make rehearse PROFILE=paper-8b MACHINE=h100x8``.

It runs the last commit in a clone of its own below ``.cache``. ``--weights real`` asks the profile's models on the machine as it
is; ``--weights random`` works on two CPU cores without a network (docs/gpus.md).
"""

import click

from refuseu.commands.doctor import load_named
from refuseu.core.errors import UserError
from refuseu.core.files import write_text
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.plan.checks import assert_at_hand, missing
from refuseu.rehearsal.run import FOLDER, RandomRehearsal, Rehearsal
from refuseu.rehearsal.server import assert_playable

WEIGHTS = {"real": Rehearsal, "random": RandomRehearsal}


def kind_of(weights: str | None, profile: str | None, machine: str | None) -> Rehearsal:
    """The rehearsal that was asked for; without a word on the weights, the real ones where nothing is missing for them.

    Raises:
        UserError: for an unknown word, profile or machine, for real weights that cannot be had here, and for a role that nobody
            can play without them.
    """
    if weights not in (None, *WEIGHTS):
        raise UserError(f"WEIGHTS: {weights!r} is neither real nor random; name one of the two")
    parameters, there = load_named(profile, machine)
    if weights == "real":
        assert_at_hand(parameters, there)
    weights = weights or ("random" if missing(parameters, there) else "real")
    if weights == "random":
        assert_playable(parameters)
    return WEIGHTS[weights](parameters, there)


@click.command(help=__doc__)
@click.option("--profile", help="A file of profiles/; without it the one that params.yaml names.")
@click.option("--machine", help="A file of machines/; without it REFUSEU_MACHINE, or cpu.")
@click.option("--weights", help="real or random; without it real where nothing is missing for it.")
def main(profile: str | None, machine: str | None, weights: str | None) -> None:
    tolerate_encodings()
    file, parts = FOLDER / "rehearsal.txt", []
    for part in kind_of(weights, profile, machine).parts():
        say(f"\n{part}")
        parts.append(part)
        write_text("\n\n".join(parts) + "\n", file)
    say(f"\nWritten: {file}")


if __name__ == "__main__":
    main()
