"""Find or write adversarial questions over the grid hazard category x attack style, or take published ones."""

from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.llm.protocol import Sampling
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.rainbow_teaming.factory import RoleFactory
from refuseu.rainbow_teaming.published import take_published
from refuseu.rainbow_teaming.questions import search_questions
from refuseu.rainbow_teaming.search import attack_on
from refuseu.rainbow_teaming.settings import Generator, RainbowTeamingParameters
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.store.rows import Store
from refuseu.tables.rows import write_rows
from refuseu.tables.schemas import ELITE
from refuseu.tables.writing import write_table
from refuseu.weights.reference import ModelReference


@click.command(help=__doc__)
@path_option("--phrasebook", "data/phrasebook")
@path_option("--prompts", "data/prompts", "Folder of prompts.")
@path_option("--seeds", "data/seeds", "Folder of seed sets.")
@path_option("--refusals", "data/refusals", "Folder of phrases that refuse.")
@path_option("--published", "data/published", "Folder of published sets.")
@path_option("--target", "models/base", "The model under attack.")
@path_option("--out", "data/rainbow-teaming")
@path_option("--metrics", "metrics/rainbow-teaming.json")
@path_option("--plots", "plots/rainbow-teaming")
def main(
    phrasebook: Path,
    prompts: Path,
    seeds: Path,
    refusals: Path,
    published: Path,
    target: Path,
    out: Path,
    metrics: Path,
    plots: Path,
) -> None:
    parameters = load(RainbowTeamingParameters)
    mutator = parameters.rainbow_teaming.mutator
    # A search counts its iterations.
    progress = "rainbow-teaming" if isinstance(mutator, Generator) else None
    engines = EngineFactory(parameters.models, load_machine(), Store(), progress, target)
    if isinstance(mutator, ByPublished):
        published_set = PublishedSet(parameters.published, published, parameters.languages, engines.store)
        found = take_published(published_set, parameters)
    else:
        books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
        roles = RoleFactory(parameters, books, engines, prompts, seeds, refusals)
        if isinstance(mutator, Generator):
            found = roles.build_generator(mutator).generate()
        else:
            sampling = Sampling(parameters.rainbow_teaming.max_new_tokens)
            attack = attack_on(engines.folder(ModelReference.read(target)), sampling)
            found = search_questions(roles, roles.build_mutator(mutator), attack)

    write_table(found.questions, out / "questions.parquet", ELITE)
    write_rows(engines.store, out)
    write_json({**found.summary, "models": engines.identities()}, metrics)
    write_json(found.history, plots / "search.json")
    write_json(found.cells, plots / "archive.json")


if __name__ == "__main__":
    main()
