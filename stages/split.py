"""Split groups into train, dev and test without contamination, test by the question alone, and build every config's DPO mix."""

from functools import partial
from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.schema import read_table
from refuseu.core.sections import load
from refuseu.dpo.mix import MIX
from refuseu.experiment import Kind
from refuseu.sources.published import PublishedSet
from refuseu.split.published import keep_parts, question_rows
from refuseu.split.settings import SplitParameters
from refuseu.split.splitting import dev_pairs, mixes, split_up, without_unaccepted
from refuseu.store.rows import Store
from refuseu.tables.losses import where_lost
from refuseu.tables.reading import Batches, question_values, read_known
from refuseu.tables.schemas import ELITE, LABELLED, PART, TEST
from refuseu.tables.writing import write_batches, write_table


@click.command(help=__doc__)
@path_option("--pairs", "data/label/pairs.parquet")
@path_option("--questions", "data/rainbow-teaming/questions.parquet", "Which questions a search found.")
@path_option("--published", "data/published", "Folder of published sets.")
@path_option("--out", "data/split")
@path_option("--metrics", "metrics/split.json")
def main(pairs: Path, questions: Path, published: Path, out: Path, metrics: Path) -> None:
    parameters = load(SplitParameters)
    answers = Batches(pairs, LABELLED, ("chosen", "rejected"))
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    labelled = read_known(pairs, LABELLED, named, without=answers.columns)

    split, languages = parameters.split, parameters.languages
    lost = partial(where_lost, metrics.parent, len(labelled))
    if split.assignment == "published":
        the_set = PublishedSet(parameters.published, published, languages, Store())
        parts, summary = keep_parts(labelled, the_set.part_of, question_rows(the_set.test), split.near_duplicate, lost)
    else:
        elites = read_table(questions, ELITE)
        found = elites.loc[elites["fitness"].notna(), "group_id"]
        parts, summary = split_up(labelled, parameters, lost, frozenset(found))
    trained_on = mixes(parts["train"], parameters.train, languages, parameters.seed)

    write_batches(answers.complete(parts["train"]), out / "train.parquet", PART)
    write_batches(without_unaccepted(answers.complete(parts["dev"])), out / "dev.parquet", TEST)
    if split.assignment == "published":
        write_table(parts["test"], out / "test.parquet", TEST)
    else:
        write_batches(without_unaccepted(answers.complete(parts["test"])), out / "test.parquet", TEST)
    evaluated_on = dev_pairs(parts["dev"], bool(parameters.eval_every))
    write_batches(answers.complete(evaluated_on), out / "dev-pairs.parquet", MIX)
    for name, mix in trained_on:
        write_batches(answers.complete(mix), out / "dpo" / f"{name}.parquet", MIX)
        summary["mixes"][name] = {"rows": len(mix), "benign": int((mix["kind"] == Kind.BENIGN).sum())}
    write_json(summary, metrics)


if __name__ == "__main__":
    main()
