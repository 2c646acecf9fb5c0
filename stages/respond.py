"""Give every question a chosen and a rejected answer."""

from pathlib import Path

import click

from refuseu.accounting import account
from refuseu.engines.opening import Opener
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.parameters.respond import RespondParameters
from refuseu.phrasebook import load_phrasebooks
from refuseu.published import PublishedSet
from refuseu.records.known import question_values, read_known
from refuseu.records.pair import PAIR
from refuseu.records.rejection import REJECTION
from refuseu.records.translation import TRANSLATION
from refuseu.records.writing import write_table
from refuseu.responses.cast import other_answers, refuser_of
from refuseu.responses.pairing import pair_up
from refuseu.responses.parts import asked_of
from refuseu.store import Store
from refuseu.withheld import WITHHELD


@click.command(help=__doc__)
@path_option("--questions")
@path_option("--phrasebook")
@path_option("--prompts", help="Folder of what chat models are told.")
@path_option("--published", help="Folder of published sets.")
@path_option("--base")
@path_option("--out")
@path_option("--metrics")
def main(
    questions: Path, phrasebook: Path, prompts: Path, published: Path, base: Path, out: Path, metrics: Path
) -> None:
    parameters = load(RespondParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    asked = read_known(questions, TRANSLATION, named)
    opener = Opener(parameters.models, load_machine(), Store(), "respond", base)
    others = PublishedSet(parameters.published, published, parameters.languages, opener.store)

    withheld = set(asked.loc[asked["category"].isin(WITHHELD), "question_id"])
    refuser = refuser_of(parameters.respond, books, opener, prompts, withheld, others)
    answers = other_answers(parameters.respond, asked_of(asked), opener, base, others)
    kept, rejected = pair_up(asked, answers, refuser)

    write_table(kept, out / "pairs.parquet", PAIR)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_json({**account(len(asked), kept, rejected, parameters.languages), "models": opener.identities()}, metrics)


if __name__ == "__main__":
    main()
