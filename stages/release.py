"""Make the dataset as it is published, with its card, and a card for every model."""

from pathlib import Path

import click
from pydantic import TypeAdapter

from refuseu.core.files import write_text
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.release.cards import dataset_card, dataset_licence, model_card
from refuseu.release.settings import ReleaseParameters
from refuseu.release.tables import tables, write_croissant, write_tables
from refuseu.results.outputs import Evaluation, SplitAccount, expect, read
from refuseu.tables.reading import question_values, read_known
from refuseu.tables.schemas import PART, TEST


@click.command(help=__doc__)
@path_option("--parts", "data/split", "Folder of train, dev and test.")
@path_option("--split", "metrics/split.json", "Metrics of the split.")
@path_option("--averages", "plots/eval/averages.json", "Averages of every model.")
@path_option("--rows", "plots/eval.json", "One row a (model, language).")
@path_option("--out", "data/release")
@path_option("--cards", "models/cards", "Folder of the model cards.")
def main(parts: Path, split: Path, averages: Path, rows: Path, out: Path, cards: Path) -> None:
    parameters = load(ReleaseParameters)
    account, evaluation = read(split, TypeAdapter(SplitAccount), "split"), Evaluation.read(averages, rows)
    expect(parameters.train.mixes, account.mixes, split, "split")
    expect(["base", *parameters.train.mixes], evaluation.averages, averages, "eval")
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    train, test = (
        read_known(parts / f"{name}.parquet", schema, named) for name, schema in (("train", PART), ("test", TEST))
    )
    dev = read_known(parts / "dev.parquet", TEST, named) if account.parts["dev"].rows else train[:0]
    made = tables(train, dev, test, parameters.languages)
    write_tables(made, out)
    write_croissant(made, out, dataset_licence(parameters))
    write_text(dataset_card(made, parameters), out / "README.md")
    for name in parameters.train.mixes:
        write_text(model_card(name, parameters, account.mixes[name], evaluation), cards / f"{name}.md")


if __name__ == "__main__":
    main()
