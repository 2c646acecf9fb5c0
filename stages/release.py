"""Make the dataset as it is published, with its card, and a card for every model."""

from pathlib import Path

import click
from pydantic import TypeAdapter

from refuseu.cards import dataset_card, model_card
from refuseu.config import ReleaseConfig, load
from refuseu.records import TEST, question_values, read_table, write_text
from refuseu.release import tables, write_croissant, write_tables
from refuseu.results import Evaluation, SplitBooks, expect, read


@click.command(help=__doc__)
@click.option("--train", type=click.Path(path_type=Path), required=True)
@click.option("--test", type=click.Path(path_type=Path), required=True)
@click.option("--split", type=click.Path(path_type=Path), required=True, help="Metrics of the split.")
@click.option("--metrics", type=click.Path(path_type=Path), required=True, help="Averages of every model.")
@click.option("--rows", type=click.Path(path_type=Path), required=True, help="One row a (config, language).")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--cards", type=click.Path(path_type=Path), required=True, help="Folder of the model cards.")
def main(train: Path, test: Path, split: Path, metrics: Path, rows: Path, out: Path, cards: Path) -> None:
    config = load(ReleaseConfig)
    books, evaluation = read(split, TypeAdapter(SplitBooks), "split"), Evaluation.read(metrics, rows)
    expect(config.train.configs, books.mixes, split, "split")
    expect(["base", *config.train.configs], evaluation.averages, metrics, "eval")
    named = question_values(config.languages, config.categories, config.styles)
    made = tables(read_table(train, TEST, named), read_table(test, TEST, named), config.languages)
    write_tables(made, out)
    write_croissant(made, out)
    write_text(dataset_card(made, config), out / "README.md")
    for name in config.train.configs:
        write_text(model_card(name, config, books.mixes[name], evaluation), cards / f"{name}.md")


if __name__ == "__main__":
    main()
