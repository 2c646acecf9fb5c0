"""Bring every question into every language, and check it."""

from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.experiment import PIVOT, RESTRICTED
from refuseu.llm.identifier import open_identifier
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
from refuseu.translate.questions import in_languages, summary, take_written, translate
from refuseu.translate.settings import Native, TranslateParameters


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
    languages, role = parameters.languages, parameters.translate.translator
    sources = languages if isinstance(role, Native) else [PIVOT]
    named = question_values(sources, parameters.categories, parameters.styles)
    asked = read_known(questions, ELITE, named)[list(QUESTION.columns)]
    engines = EngineFactory(parameters.models, load_machine(), Store(), "translate", base)
    identifier = open_identifier(parameters.identifier, languages, engines.store, engines.loaded_elsewhere)
    if isinstance(role, Native):
        kept, rejected = take_written(asked, identifier)
    elif isinstance(role, ByPublished):
        pairs = PublishedSet(parameters.published, published, languages, engines.store).by_slot
        written = in_languages(asked, languages, {slot: pair.text for slot, pair in pairs.items()})
        kept, rejected = take_written(written, identifier)
    else:
        restricted = set(asked.loc[asked["category"].isin(RESTRICTED), "text"])
        translator = build_translator(role, books, engines, prompts, restricted)
        kept, rejected = translate(asked, identifier, translator, parameters.translate.min_chrf)

    write_table(kept, out / "questions.parquet", TRANSLATION)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_rows(engines.store, out)
    rows_in = len(asked) * (1 if isinstance(role, Native) else len(languages))
    differ = identifier.differing(zip(kept["lang"], kept["text"], strict=True))
    counted = summary(rows_in, kept, rejected, languages)
    write_json({**counted, "identifiers_differ": differ, "models": engines.identities()}, metrics)
    tell_losses("translate", metrics, kept, languages)


if __name__ == "__main__":
    main()
