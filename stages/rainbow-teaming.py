"""Search adversarial English questions over the grid hazard category x attack style."""

from pathlib import Path

import click

from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Sampling
from refuseu.engines.reference import ModelReference
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.parameters.rainbow_teaming import RainbowTeamingParameters
from refuseu.phrasebook import load_phrasebooks
from refuseu.published import PublishedSet
from refuseu.records.elite import ELITE
from refuseu.records.writing import write_table
from refuseu.redteam.cast import Cast
from refuseu.redteam.found import searched, taken
from refuseu.redteam.search import attack_on
from refuseu.store import Store


@click.command(help=__doc__)
@path_option("--phrasebook")
@path_option("--prompts", help="Folder of what chat models are told.")
@path_option("--seeds", help="Folder of seed sets that others made.")
@path_option("--refusals", help="Folder of phrases that refuse.")
@path_option("--published", help="Folder of published sets.")
@path_option("--target", help="The model under attack.")
@path_option("--out")
@path_option("--metrics")
@path_option("--plots")
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
    settings = parameters.rainbow_teaming
    opener = Opener(parameters.models, load_machine(), Store(), base=target)
    if settings.mutator.kind == "published":
        found = taken(PublishedSet(parameters.published, published, parameters.languages, opener.store), parameters)
    else:
        books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
        cast = Cast(parameters, books, opener, prompts, seeds, refusals)
        attack = attack_on(opener.folder(ModelReference.read(target)), Sampling(settings.max_new_tokens))
        found = searched(parameters, cast, attack)

    write_table(found.questions, out / "questions.parquet", ELITE)
    write_json({**found.summary, "models": opener.identities()}, metrics)
    write_json(found.history, plots / "search.json")
    write_json(found.cells, plots / "archive.json")


if __name__ == "__main__":
    main()
