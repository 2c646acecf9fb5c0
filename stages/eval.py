"""Evaluate the base and every aligned model on the test questions."""

from pathlib import Path

import click
import pandas as pd

from refuseu.config import EvalConfig, load
from refuseu.evaluation.answers import ask_models, model_folders, score_answers
from refuseu.evaluation.fluency import FluencyScorer
from refuseu.evaluation.knowledge import choices
from refuseu.evaluation.tables import averages, breakdown, language_rows, paired_tests, transfer
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.phrasebook import load_phrasebooks
from refuseu.records import ANSWER, KNOWLEDGE, TEST, question_values, read_table, write_json, write_table


@click.command(help=__doc__)
@click.option("--questions", type=click.Path(path_type=Path), required=True, help="The test part, or dev.")
@click.option("--phrasebook", type=click.Path(path_type=Path), required=True)
@click.option("--base", type=click.Path(path_type=Path), required=True)
@click.option("--models", type=click.Path(path_type=Path), required=True, help="A folder a config.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@click.option("--rows", type=click.Path(path_type=Path), required=True, help="One row a (config, language).")
@click.option("--plots", type=click.Path(path_type=Path), required=True, help="Folder of the other rows.")
def main(
    questions: Path, phrasebook: Path, base: Path, models: Path, out: Path, metrics: Path, rows: Path, plots: Path
) -> None:
    config = load(EvalConfig)
    settings, train = config.eval, config.train
    folders = model_folders(base, models, train.configs)
    books = load_phrasebooks(phrasebook, config.languages, config.categories, config.styles)
    panel = Panel.of(books, config.label.judges, config.label.adjudicator)
    identifier, fluency, facts = Identifier(config.languages), FluencyScorer(books), list(choices(books))
    named = question_values(config.languages, config.categories, config.styles)
    asked = read_table(questions, TEST, named)
    answers, knowledge = [], []
    for name, (said, known) in ask_models(folders, asked, facts, settings):
        answers.append(score_answers(name, asked, said, panel, identifier, fluency))
        knowledge.append(known)
    scored, known = pd.concat(answers), pd.concat(knowledge)
    write_table(scored, out / "answers.parquet", ANSWER, ["model", "question_id", "lang"])
    write_table(known, out / "knowledge.parquet", KNOWLEDGE, ["model", "fact_id", "lang"])
    table = language_rows(scored, known, config.languages, settings)
    write_json(averages(table), metrics)
    write_json(table, rows)
    write_json(breakdown(scored, "category", config.categories, settings.max_unparsed), plots / "by-category.json")
    write_json(breakdown(scored, "style", config.styles, settings.max_unparsed), plots / "by-style.json")
    write_json(paired_tests(scored, settings.reference, settings.max_unparsed), plots / "paired.json")
    write_json(transfer(table, train.single_languages(config.languages)), plots / "transfer.json")


if __name__ == "__main__":
    main()
