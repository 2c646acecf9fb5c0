"""Search adversarial English questions over the grid hazard category x attack style."""

from pathlib import Path

import click

from refuseu.config import RainbowTeamingConfig, load
from refuseu.engines.base import Sampling, stored_chat, user
from refuseu.engines.local import TransformersEngine
from refuseu.judges.ngrams import NgramJudge
from refuseu.phrasebook import load_phrasebooks
from refuseu.records import ELITE, write_json, write_table
from refuseu.redteam.archive import Archive
from refuseu.redteam.mutators import PhrasebookMutator
from refuseu.redteam.questions import questions_of, summary
from refuseu.redteam.search import Search
from refuseu.store import Store
from refuseu.taxonomy import PIVOT


@click.command(help=__doc__)
@click.option("--phrasebook", type=click.Path(path_type=Path), required=True)
@click.option("--target", type=click.Path(path_type=Path), required=True, help="The model under attack.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@click.option("--plots", type=click.Path(path_type=Path), required=True)
def main(phrasebook: Path, target: Path, out: Path, metrics: Path, plots: Path) -> None:
    config = load(RainbowTeamingConfig)
    settings = config.rainbow_teaming
    books = load_phrasebooks(phrasebook, config.languages, config.categories, config.styles)
    engine, store = TransformersEngine(target, settings.batch_size), Store()
    sampling = Sampling(settings.max_new_tokens)

    def attack(questions: list[str]) -> list[str]:
        return stored_chat(engine, [user(question) for question in questions], sampling, store)

    mutator = PhrasebookMutator(books[PIVOT])
    archive = Archive(list(config.categories), list(config.styles), settings.elites_per_cell)
    search = Search(archive, mutator, attack, NgramJudge(books), settings, config.seed)
    search.run(mutator.seeds())
    write_table(questions_of(archive, mutator), out / "questions.parquet", ELITE, ["question_id", "lang"])
    write_json(summary(search), metrics)
    write_json(search.history, plots / "search.json")
    write_json(archive.rows(), plots / "archive.json")


if __name__ == "__main__":
    main()
