"""Bring every question into every language, and check it."""

from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.experiment import PIVOT, RESTRICTED
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.store.rows import Store
from refuseu.tables.losses import tell_losses
from refuseu.tables.reading import question_values, read_known
from refuseu.tables.rows import write_rows
from refuseu.tables.schemas import ELITE, QUESTION, REJECTION, TRANSLATION
from refuseu.tables.writing import write_table
from refuseu.translate.factory import build_translator
from refuseu.translate.questions import summary, take_written, translate
from refuseu.translate.settings import TranslateParameters


@click.command(help=__doc__)
@path_option("--questions", "data/rainbow-teaming/questions.parquet")
@path_option("--phrasebook", "data/phrasebook")
@path_option("--prompts", "data/prompts", "Folder of prompts.")
@path_option("--published", "data/published", "Folder of published sets.")
@path_option("--base", "models/base")
@path_option("--out", "data/translate")
@path_option("--metrics", "metrics/translate.json")
def main(
    questions: Path, phrasebook: Path, prompts: Path, published: Path, base: Path, out: Path, metrics: Path
) -> None:
    parameters = load(TranslateParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    named = question_values([PIVOT], parameters.categories, parameters.styles)
    english = read_known(questions, ELITE, named)[list(QUESTION.columns)]
    engines = EngineFactory(parameters.models, load_machine(), Store(), "translate", base)
    restricted = set(english.loc[english["category"].isin(RESTRICTED), "text"])
    languages, settings = parameters.languages, parameters.translate
    if isinstance(settings.translator, ByPublished):
        written = PublishedSet(parameters.published, published, languages, engines.store).by_slot
        kept, rejected = take_written(english, languages, {slot: pair.text for slot, pair in written.items()})
    else:
        translator = build_translator(settings.translator, books, engines, prompts, restricted)
        kept, rejected = translate(english, languages, translator, settings.min_chrf)

    write_table(kept, out / "questions.parquet", TRANSLATION)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_rows(engines.store, out)
    write_json({**summary(english, kept, rejected, languages), "models": engines.identities()}, metrics)
    tell_losses("translate", metrics, kept, languages)


if __name__ == "__main__":
    main()
