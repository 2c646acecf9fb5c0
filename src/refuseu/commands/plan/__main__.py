"""Says what a run will take and what is missing here, and loads nothing: ``python -m refuseu.commands.plan``."""

import os
from pathlib import Path

import click

from refuseu.commands.parameters import load_all, load_whole_machine
from refuseu.commands.plan.asks import Asks
from refuseu.commands.plan.flow import flow_of
from refuseu.commands.plan.lengths import lengths_of
from refuseu.commands.plan.missing import missing
from refuseu.commands.plan.page import page
from refuseu.commands.plan.stages import lines
from refuseu.commands.terminal import tolerate_encodings
from refuseu.phrasebook.phrasebook import load_phrasebooks

PHRASEBOOK, PROMPTS = Path("data/phrasebook"), Path("data/prompts")


@click.command(help=__doc__)
@click.option("--profile", help="A file of profiles/; without it the one that params.yaml names.")
@click.option("--machine", help="A file of machines/; without it REFUSEU_MACHINE, or cpu.")
def main(profile: str | None, machine: str | None) -> None:
    tolerate_encodings()
    if machine:
        os.environ["REFUSEU_MACHINE"] = machine
    parameters, here = load_all(profile=profile), load_whole_machine()
    books = load_phrasebooks(PHRASEBOOK, parameters.languages, parameters.categories, parameters.styles)
    flow, lengths = flow_of(parameters), lengths_of(parameters, books)
    asks = Asks(parameters, flow, lengths, books, lambda name: (PROMPTS / f"{name}.md").read_text(encoding="utf-8"))
    lacking = missing(parameters, here)
    click.echo(page(parameters, here, list(lines(parameters, flow, lengths, asks.all())), flow.source, lacking))
    raise SystemExit(1 if lacking else 0)


if __name__ == "__main__":
    main()
