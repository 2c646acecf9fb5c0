"""Make the un-aligned model, or the reference to it: the miniature trains one on the phrasebook."""

from pathlib import Path

import click

from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.base import BaseParameters
from refuseu.parameters.loading import load
from refuseu.training.cast import make_base


@click.command(help=__doc__)
@path_option("--phrasebook")
@path_option("--out")
@path_option("--metrics")
def main(phrasebook: Path, out: Path, metrics: Path) -> None:
    made = make_base(load(BaseParameters), phrasebook, out)

    write_json(made, metrics)


if __name__ == "__main__":
    main()
