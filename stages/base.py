"""Train the miniature's base model on the phrasebook."""

from pathlib import Path

import click

from refuseu.config import BaseConfig, load
from refuseu.phrasebook import load_phrasebooks
from refuseu.records import write_json
from refuseu.training.base import train_base
from refuseu.training.corpus import draw_examples


@click.command(help=__doc__)
@click.option("--phrasebook", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
def main(phrasebook: Path, out: Path, metrics: Path) -> None:
    config = load(BaseConfig)
    books = load_phrasebooks(phrasebook, config.languages, config.categories, config.styles)
    base = config.base
    count = base.steps * base.batch_size
    examples = draw_examples(books, count, base.refused_asks, config.seed)
    write_json(train_base(examples, base, config.seed, out), metrics)


if __name__ == "__main__":
    main()
