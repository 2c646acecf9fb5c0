"""Give every question a chosen and a rejected answer."""

from pathlib import Path

import click

from refuseu.accounting import account
from refuseu.config import RespondConfig, load
from refuseu.engines.base import Sampling, stored_chat, user
from refuseu.engines.local import TransformersEngine
from refuseu.phrasebook import load_phrasebooks
from refuseu.records import PAIR, REJECTION, TRANSLATION, question_values, read_table, write_json, write_table
from refuseu.responses.pairing import pair_up, reject_empty
from refuseu.store import Store


@click.command(help=__doc__)
@click.option("--questions", type=click.Path(path_type=Path), required=True)
@click.option("--phrasebook", type=click.Path(path_type=Path), required=True)
@click.option("--base", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
def main(questions: Path, phrasebook: Path, base: Path, out: Path, metrics: Path) -> None:
    config = load(RespondConfig)
    books = load_phrasebooks(phrasebook, config.languages, config.categories, config.styles)
    asked = read_table(questions, TRANSLATION, question_values(config.languages, config.categories, config.styles))
    engine = TransformersEngine(base, config.respond.batch_size, progress="respond")
    sampling = Sampling(config.respond.max_new_tokens)
    answers = stored_chat(engine, [user(text) for text in asked["text"]], sampling, Store())
    kept, rejected = reject_empty(pair_up(asked, answers, books))
    write_table(kept, out / "pairs.parquet", PAIR, ["question_id", "lang"])
    write_table(rejected, out / "rejected.parquet", REJECTION, ["question_id", "lang"])
    write_json(account(len(asked), kept, rejected, config.languages), metrics)


if __name__ == "__main__":
    main()
