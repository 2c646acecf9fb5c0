"""Make the un-aligned model, or the reference to it: the miniature trains one on the phrasebook."""

from pathlib import Path

import click

from refuseu.base.factory import make_base
from refuseu.base.settings import BaseParameters
from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load


@click.command(help=__doc__)
@path_option("--phrasebook", "data/phrasebook")
@path_option("--resistance", "data/base/resistance.yaml", "What a trained base answers.")
@path_option("--out", "models/base")
@path_option("--metrics", "metrics/base.json")
def main(phrasebook: Path, resistance: Path, out: Path, metrics: Path) -> None:
    made = make_base(load(BaseParameters), phrasebook, resistance, out)

    write_json(made, metrics)


if __name__ == "__main__":
    main()
