"""Evaluate the base, every aligned model and the models of `eval.models` on the test questions."""

from pathlib import Path

import click

from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.eval.asking import EvaluationRun, ask_models
from refuseu.eval.factory import build_scorers
from refuseu.eval.models import evaluated_models
from refuseu.eval.scoring import score_all
from refuseu.eval.sets import read_sets
from refuseu.eval.settings import EvalParameters
from refuseu.eval.tables import write_evaluated, write_results
from refuseu.knowledge.factory import build_knowledge
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.store.rows import Store
from refuseu.tables.reading import question_values, read_known
from refuseu.tables.rows import write_rows
from refuseu.tables.schemas import PART, TEST


@click.command(help=__doc__)
@path_option("--questions", "data/split/test.parquet", "The test part, or dev.")
@path_option("--train", "data/split/train.parquet", "The train part.")
@path_option("--sets", "data/sets", "Folder of external test sets.")
@path_option("--phrasebook", "data/phrasebook")
@path_option("--prompts", "data/prompts", "Folder of the prompts for chat models.")
@path_option("--refusals", "data/refusals", "Folder of phrases that refuse.")
@path_option("--fluency", "data/fluency", "Folder of the prompts whose answers are rated.")
@path_option("--base", "models/base")
@path_option("--models", "models/dpo", "A folder a config.")
@path_option("--out", "data/eval")
@path_option("--metrics", "metrics/eval", "Folder of the headline of every model.")
@path_option("--evaluated", "metrics/evaluated.json", "The models and judges that were asked; accounts of sets.")
@path_option("--rows", "plots/eval.json", "One row a (model, language).")
@path_option("--plots", "plots/eval", "Folder of the averages and the other rows.")
def main(
    questions: Path,
    train: Path,
    sets: Path,
    phrasebook: Path,
    prompts: Path,
    refusals: Path,
    fluency: Path,
    base: Path,
    models: Path,
    out: Path,
    metrics: Path,
    evaluated: Path,
    rows: Path,
    plots: Path,
) -> None:
    parameters, machine = load(EvalParameters), load_machine()
    engines = EngineFactory(parameters.models, machine, Store(), "eval", base)
    to_ask = evaluated_models(base, models, parameters, engines)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    scorers = build_scorers(parameters, books, engines, prompts, refusals, fluency)
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    own = read_known(questions, TEST, named, every="lang")
    external, accounts = read_sets(parameters, sets, list(read_known(train, PART, named)["text"]))
    knowledge, sampling = build_knowledge(parameters.eval.knowledge, books), parameters.eval.sampling
    asked = [*own["text"], *external["text"], *scorers.prompts["text"]]
    outputs = ask_models(to_ask, EvaluationRun(asked, knowledge, sampling, parameters.models, machine), engines.store)
    scored = score_all(own, external, outputs, scorers)
    write_results(scored, scorers.panel.uncovered(parameters.languages), parameters, out, metrics, rows, plots)
    write_rows(engines.store, out)
    write_evaluated(outputs, engines.identities(), accounts, scored, parameters, evaluated)


if __name__ == "__main__":
    main()
