"""Make the dataset as it is published, with its card, and a card for every model."""

from pathlib import Path

import click

from refuseu.cards import Evaluated, dataset_card, model_card
from refuseu.config import ReleaseConfig, load
from refuseu.records import TEST, read_json, read_table, write_text
from refuseu.release import tables, write_croissant, write_tables


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
    made = tables(read_table(train, TEST), read_table(test, TEST), config.languages)
    write_tables(made, out)
    write_croissant(made, out)
    write_text(dataset_card(made, config), out / "README.md")
    mixes, averages, by_language = read_json(split)["mixes"], read_json(metrics), read_json(rows)
    for name in config.train.configs:
        own = [row for row in by_language if row["config"] == name]
        evaluated = Evaluated(mixes[name], averages[name], own, averages["base"])
        write_text(model_card(name, config, evaluated), cards / f"{name}.md")


if __name__ == "__main__":
    main()
