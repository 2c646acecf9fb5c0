"""Bring every question into every language, checked by identification and back-translation."""

from pathlib import Path

import click

from refuseu.accounting import account
from refuseu.config import TranslateConfig, load
from refuseu.phrasebook import load_phrasebooks
from refuseu.records import (
    ELITE,
    QUESTION,
    REJECTION,
    TRANSLATION,
    question_values,
    read_table,
    write_json,
    write_table,
)
from refuseu.taxonomy import PIVOT
from refuseu.translation.questions import PhrasebookTranslator, translate


@click.command(help=__doc__)
@click.option("--questions", type=click.Path(path_type=Path), required=True)
@click.option("--phrasebook", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
def main(questions: Path, phrasebook: Path, out: Path, metrics: Path) -> None:
    config = load(TranslateConfig)
    books = load_phrasebooks(phrasebook, config.languages, config.categories, config.styles)
    asked = read_table(questions, ELITE, question_values([PIVOT], config.categories, config.styles))[list(QUESTION)]
    kept, rejected = translate(asked, config.languages, PhrasebookTranslator(books), config.translate.min_chrf)
    write_table(kept, out / "questions.parquet", TRANSLATION, ["question_id", "lang"])
    write_table(rejected, out / "rejected.parquet", REJECTION, ["question_id", "lang"])
    by_language = kept.groupby("lang")
    write_json(
        {
            **account(len(asked) * len(config.languages), kept, rejected, config.languages),
            "chrf": by_language["chrf"].mean().to_dict(),
            "identified_free": (100 * (kept["lang_free"] == kept["lang"]).groupby(kept["lang"]).mean()).to_dict(),
        },
        metrics,
    )


if __name__ == "__main__":
    main()
