"""Train the miniature's base model on the phrasebook."""

from pathlib import Path

import click

from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.base import BaseParameters
from refuseu.parameters.loading import load
from refuseu.phrasebook import load_phrasebooks
from refuseu.training.base import train_base
from refuseu.training.corpus import draw_examples


@click.command(help=__doc__)
@path_option("--phrasebook")
@path_option("--out")
@path_option("--metrics")
def main(phrasebook: Path, out: Path, metrics: Path) -> None:
    parameters = load(BaseParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    examples = draw_examples(books, parameters.base, parameters.seed)

    trained = train_base(examples, parameters.base, parameters.seed, out)

    write_json(trained, metrics)


if __name__ == "__main__":
    main()
