"""Split slots into train, dev and test without contamination, and build the DPO mix of every config."""

from pathlib import Path

import click

from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.loading import load
from refuseu.parameters.split import SplitParameters
from refuseu.published import PublishedSet
from refuseu.records.batches import Batches
from refuseu.records.known import read_known
from refuseu.records.mix import MIX
from refuseu.records.pair import PAIR
from refuseu.records.part import PART
from refuseu.records.writing import write_batches
from refuseu.splitting import WRITTEN, mixes, split_up
from refuseu.store import Store
from refuseu.taxonomy import Kind


@click.command(help=__doc__)
@path_option("--pairs")
@path_option("--published", help="Folder of published sets.")
@path_option("--out")
@path_option("--metrics")
def main(pairs: Path, published: Path, out: Path, metrics: Path) -> None:
    parameters = load(SplitParameters)
    answers = Batches(pairs, PAIR, ("chosen", "rejected"))
    labelled = read_known(pairs, PAIR, {"lang": parameters.languages, "kind": list(Kind)}, without=answers.columns)

    sides = None
    if parameters.split.sides == "published":
        sides = PublishedSet(parameters.published, published, parameters.languages, Store()).sides
    parts, summary = split_up(labelled, parameters.languages, parameters.split, parameters.seed, sides)
    trained_on = mixes(parts["train"], parameters.train, parameters.languages, parameters.seed)

    for name in WRITTEN:
        write_batches(answers.complete(parts[name]), out / f"{name}.parquet", PART)
    for name, mix in trained_on:
        write_batches(answers.complete(mix), out / "dpo" / f"{name}.parquet", MIX)
        summary["mixes"][name] = {"rows": len(mix), "benign": int((mix["kind"] == Kind.BENIGN).sum())}
    write_json(summary, metrics)


if __name__ == "__main__":
    main()
