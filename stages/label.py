"""Have the judge panel label question, chosen and rejected, and keep the pairs that the protocol accepts."""

from pathlib import Path

import click

from refuseu.accounting import account
from refuseu.config import LabelConfig, load
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.labelling import agreement, judge_pairs, reasons, yields
from refuseu.phrasebook import load_phrasebooks
from refuseu.records import PAIR, REJECTION, VERDICT, question_values, read_table, write_json, write_table


@click.command(help=__doc__)
@click.option("--pairs", type=click.Path(path_type=Path), required=True)
@click.option("--phrasebook", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
def main(pairs: Path, phrasebook: Path, out: Path, metrics: Path) -> None:
    config = load(LabelConfig)
    books = load_phrasebooks(phrasebook, config.languages, config.categories, config.styles)
    panel = Panel.of(books, config.label.judges, config.label.adjudicator)
    judged = read_table(pairs, PAIR, question_values(config.languages, config.categories, config.styles))
    verdicts = judge_pairs(judged, panel)
    why = reasons(judged, verdicts, config.label, Identifier(config.languages))
    judged["reason"] = why
    kept = judged[judged["reason"].isna()]
    rejected = judged[judged["reason"].notna()]
    write_table(kept, out / "pairs.parquet", PAIR, ["question_id", "lang"])
    write_table(rejected, out / "rejected.parquet", REJECTION, ["question_id", "lang"])
    write_table(verdicts, out / "verdicts.parquet", VERDICT, ["question_id", "lang", "item", "judge"])
    write_json(
        {
            **account(len(judged), kept, rejected, config.languages),
            **yields(judged),
            "judges": agreement(verdicts, config.label),
        },
        metrics,
    )


if __name__ == "__main__":
    main()
