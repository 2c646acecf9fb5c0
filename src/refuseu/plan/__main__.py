"""Says what a run will take and what is missing here, and loads nothing: ``python -m refuseu.plan``."""

import os
from pathlib import Path

import click

from refuseu.parameters.machine import load_machine
from refuseu.parameters.whole import load_all
from refuseu.phrasebook import load_phrasebooks
from refuseu.plan.asks import Asks
from refuseu.plan.flow import flow_of
from refuseu.plan.lengths import lengths_of
from refuseu.plan.missing import missing
from refuseu.plan.page import page
from refuseu.plan.stages import lines
from refuseu.terminal import tolerate_encodings

PHRASEBOOK, PROMPTS = Path("data/phrasebook"), Path("data/prompts")


@click.command(help=__doc__)
@click.option("--profile", help="A file of profiles/; without it the one that params.yaml names.")
@click.option("--machine", help="A file of machines/; without it REFUSEU_MACHINE, or cpu.")
def main(profile: str | None, machine: str | None) -> None:
    tolerate_encodings()
    if machine:
        os.environ["REFUSEU_MACHINE"] = machine
    parameters, here = load_all(profile=profile), load_machine()
    books = load_phrasebooks(PHRASEBOOK, parameters.languages, parameters.categories, parameters.styles)
    flow, lengths = flow_of(parameters), lengths_of(parameters, books)
    asks = Asks(parameters, flow, lengths, books, lambda name: (PROMPTS / f"{name}.md").read_text(encoding="utf-8"))
    lacking = missing(parameters, here)
    click.echo(page(parameters, here, list(lines(parameters, flow, lengths, asks.all())), flow.source, lacking))
    raise SystemExit(1 if lacking else 0)


if __name__ == "__main__":
    main()
