"""Search adversarial English questions over the grid hazard category x attack style."""

from pathlib import Path

import click

from refuseu.engines.opening import open_model
from refuseu.engines.protocol import Sampling
from refuseu.engines.reference import ModelReference
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.parameters.rainbow_teaming import RainbowTeamingParameters
from refuseu.phrasebook import load_phrasebooks
from refuseu.records.elite import ELITE
from refuseu.records.writing import write_table
from refuseu.redteam.archive import Archive
from refuseu.redteam.cast import judges_of, mutator_of, twins_of
from refuseu.redteam.questions import questions_of, summary
from refuseu.redteam.search import Parts, Search, attack_on
from refuseu.store import Store


@click.command(help=__doc__)
@path_option("--phrasebook")
@path_option("--target", help="The model under attack.")
@path_option("--out")
@path_option("--metrics")
@path_option("--plots")
def main(phrasebook: Path, target: Path, out: Path, metrics: Path, plots: Path) -> None:
    parameters = load(RainbowTeamingParameters)
    settings = parameters.rainbow_teaming
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    engine = open_model(ModelReference.read(target), load_machine(), Store())
    scorer, preference = judges_of(settings, books)
    parts = Parts(mutator_of(settings, books), scorer, preference, attack_on(engine, Sampling(settings.max_new_tokens)))
    archive = Archive(list(parameters.categories), list(parameters.styles), settings.elites_per_cell)

    search = Search(archive, parts, settings, parameters.seed)
    search.run()
    questions = questions_of(archive, twins_of(settings, books))

    write_table(questions, out / "questions.parquet", ELITE)
    write_json(summary(search, questions), metrics)
    write_json(search.history, plots / "search.json")
    write_json(archive.rows(), plots / "archive.json")


if __name__ == "__main__":
    main()
