"""Evaluate the base, every aligned model and those of others on the test questions."""

from pathlib import Path

import click

from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Sampling
from refuseu.evaluation.answers import Asking, ask_models, score_all
from refuseu.evaluation.cast import knowledge_of, scoring_of
from refuseu.evaluation.contestants import contestants
from refuseu.evaluation.sets import read_sets, set_accounts
from refuseu.evaluation.writing import write_results
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.eval import EvalParameters
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.phrasebook import load_phrasebooks
from refuseu.records.known import question_values, read_known
from refuseu.records.part import PART
from refuseu.store import Store


@click.command(help=__doc__)
@path_option("--questions", help="The test part, or dev.")
@path_option("--train", help="The train part.")
@path_option("--sets", help="Folder of test sets that others made.")
@path_option("--phrasebook")
@path_option("--prompts", help="Folder of what chat models are told.")
@path_option("--refusals", help="Folder of phrases that refuse.")
@path_option("--base")
@path_option("--models", help="A folder a config.")
@path_option("--out")
@path_option("--metrics", help="Averages of every model.")
@path_option("--evaluated", help="Which models and judges were asked, and the account of every set.")
@path_option("--rows", help="One row a (model, language).")
@path_option("--plots", help="Folder of the other rows.")
def main(
    questions: Path,
    train: Path,
    sets: Path,
    phrasebook: Path,
    prompts: Path,
    refusals: Path,
    base: Path,
    models: Path,
    out: Path,
    metrics: Path,
    evaluated: Path,
    rows: Path,
    plots: Path,
) -> None:
    parameters, machine = load(EvalParameters), load_machine()
    opener = Opener(parameters.models, machine, Store(), "eval", base)
    asked = contestants(base, models, parameters, opener)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    scoring = scoring_of(parameters, books, opener, prompts, refusals)
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    own = read_known(questions, PART, named)
    foreign, accounts = read_sets(parameters, sets, list(read_known(train, PART, named)["text"]))
    knowledge, sampling = knowledge_of(parameters.eval, books), Sampling(parameters.eval.max_new_tokens)

    texts = [*own["text"], *foreign["text"]]
    said = ask_models(asked, Asking(texts, knowledge, sampling, parameters.models, machine))
    scored = score_all(own, foreign, said, scoring)
    write_results(scored, scoring.panel.uncovered(parameters.languages), parameters, out, metrics, rows, plots)
    identities = {"models": {each.model: each.identity for each in said}, "judges": opener.identities()}
    write_json({**identities, "sets": set_accounts(accounts, scored.sets, parameters)}, evaluated)


if __name__ == "__main__":
    main()
