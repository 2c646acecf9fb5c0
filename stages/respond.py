"""Give every question a chosen and a rejected answer."""

from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import Opener
from refuseu.experiment import WITHHELD
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.respond.factory import other_answers, refuser_of
from refuseu.respond.interfaces import asked_of
from refuseu.respond.pairing import pair_up
from refuseu.respond.settings import RespondParameters
from refuseu.sources.published import PublishedSet
from refuseu.store.rows import Store
from refuseu.tables.accounting import account
from refuseu.tables.known import question_values, read_known
from refuseu.tables.schemas import PAIR, REJECTION, TRANSLATION
from refuseu.tables.writing import write_table


@click.command(help=__doc__)
@path_option("--questions", "data/translate/questions.parquet")
@path_option("--phrasebook", "data/phrasebook")
@path_option("--prompts", "data/prompts", "Folder of what chat models are told.")
@path_option("--published", "data/published", "Folder of published sets.")
@path_option("--base", "models/base")
@path_option("--out", "data/respond")
@path_option("--metrics", "metrics/respond.json")
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
