"""Bring every question into every language, checked by identification and back-translation."""

from pathlib import Path

import click

from refuseu.engines.opening import Opener
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.parameters.translate import TranslateParameters
from refuseu.phrasebook import load_phrasebooks
from refuseu.published import PublishedSet
from refuseu.records.elite import ELITE
from refuseu.records.known import question_values, read_known
from refuseu.records.question import QUESTION
from refuseu.records.rejection import REJECTION
from refuseu.records.translation import TRANSLATION
from refuseu.records.writing import write_table
from refuseu.store import Store
from refuseu.taxonomy import PIVOT
from refuseu.translation.cast import translator_of
from refuseu.translation.questions import summary, translate
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
    parameters = load(TranslateParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    named = question_values([PIVOT], parameters.categories, parameters.styles)
    asked = read_known(questions, ELITE, named)[list(QUESTION.columns)]
    opener = Opener(parameters.models, load_machine(), Store(), "translate", base)
    withheld = set(asked.loc[asked["category"].isin(WITHHELD), "text"])
    others = PublishedSet(parameters.published, published, parameters.languages, opener.store)
    translator = translator_of(parameters.translate, books, opener, prompts, withheld, others)

    kept, rejected = translate(asked, parameters.languages, translator, parameters.translate.min_chrf)

    write_table(kept, out / "questions.parquet", TRANSLATION)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_json({**summary(asked, kept, rejected, parameters.languages), "models": opener.identities()}, metrics)


if __name__ == "__main__":
    main()
