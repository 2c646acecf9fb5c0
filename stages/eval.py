"""Evaluate the base and every aligned model on the test questions."""

from pathlib import Path

import click

from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Sampling
from refuseu.evaluation import tables
from refuseu.evaluation.answers import Asking, ask_models, model_folders, score_all
from refuseu.evaluation.cast import knowledge_of, scoring_of
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.eval import EvalParameters
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.phrasebook import load_phrasebooks
from refuseu.records.answer import ANSWER
from refuseu.records.knowledge import KNOWLEDGE
from refuseu.records.known import question_values, read_known
from refuseu.records.part import PART
from refuseu.records.vote import VOTE
from refuseu.records.writing import write_table
from refuseu.store import Store


@click.command(help=__doc__)
@path_option("--questions", help="The test part, or dev.")
@path_option("--phrasebook")
@path_option("--prompts", help="Folder of what chat models are told.")
@path_option("--refusals", help="Folder of phrases that refuse.")
@path_option("--base")
@path_option("--models", help="A folder a config.")
@path_option("--out")
@path_option("--metrics")
@path_option("--rows", help="One row a (model, language).")
@path_option("--plots", help="Folder of the other rows.")
def main(
    questions: Path,
    phrasebook: Path,
    prompts: Path,
    refusals: Path,
    base: Path,
    models: Path,
    out: Path,
    metrics: Path,
    rows: Path,
    plots: Path,
) -> None:
    parameters = load(EvalParameters)
    folders = model_folders(base, models, parameters.train.configs)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    asked = read_known(questions, PART, question_values(parameters.languages, parameters.categories, parameters.styles))
    machine, sampling = load_machine(), Sampling(parameters.eval.max_new_tokens)
    asking = Asking(list(asked["text"]), knowledge_of(parameters.eval, books), sampling, parameters.models, machine)
    scoring = scoring_of(parameters, books, Opener(parameters.models, machine, Store()), prompts, refusals)
    scored = score_all(asked, ask_models(folders, asking), scoring)
    table = tables.language_rows(scored.answers, scored.knowledge, parameters.languages, parameters.eval)

    write_table(scored.answers, out / "answers.parquet", ANSWER)
    write_table(scored.votes, out / "votes.parquet", VOTE)
    write_table(scored.knowledge, out / "knowledge.parquet", KNOWLEDGE)
    write_json(tables.averages(table), metrics)
    write_json(tables.with_coverage(table, scoring.panel.uncovered(parameters.languages)), rows)
    for name, content in tables.plots(scored.answers, scored.votes, scored.knowledge, table, parameters).items():
        write_json(content, plots / f"{name}.json")


if __name__ == "__main__":
    main()
