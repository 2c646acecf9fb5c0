"""Give every question a chosen and a rejected answer."""

from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.experiment import RESTRICTED
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.respond.answers import pair_up
from refuseu.respond.factory import build_answer, build_refuser
from refuseu.respond.settings import RespondParameters
from refuseu.sources.published import PublishedSet
from refuseu.store.rows import Store
from refuseu.tables.losses import tell_losses
from refuseu.tables.reading import question_values, read_known
from refuseu.tables.rows import write_rows
from refuseu.tables.schemas import PAIR, REJECTION, TRANSLATION
from refuseu.tables.writing import account, write_table


@click.command(help=__doc__)
@path_option("--questions", "data/translate/questions.parquet")
@path_option("--phrasebook", "data/phrasebook")
@path_option("--prompts", "data/prompts", "Folder of prompts.")
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
    translated = read_known(questions, TRANSLATION, named)
    engines = EngineFactory(parameters.models, load_machine(), Store(), "respond", base)
    published_set = PublishedSet(parameters.published, published, parameters.languages, engines.store)

    restricted = set(translated.loc[translated["category"].isin(RESTRICTED), "question_id"])
    refuser = build_refuser(parameters.respond.refuser, books, engines, prompts, restricted, published_set)
    answer = build_answer(parameters.respond.rejected, engines, base, published_set)
    kept, rejected = pair_up(translated, answer, refuser, parameters.unanswered)

    write_table(kept, out / "pairs.parquet", PAIR)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_rows(engines.store, out)
    counted = account(len(translated), kept, rejected, parameters.languages)
    write_json({**counted, "models": engines.identities()}, metrics)
    tell_losses("respond", metrics, kept, parameters.languages)


if __name__ == "__main__":
    main()
