"""Have the judge panel label question, chosen and rejected, and keep the pairs that the protocol accepts."""

from pathlib import Path

import click

from refuseu.engines.opening import Opener
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.identification import Identifier
from refuseu.judges.seating import panel_of
from refuseu.labelling import judge_pairs, sort_out, summary
from refuseu.parameters.label import LabelParameters
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.phrasebook import load_phrasebooks
from refuseu.records.known import question_values, read_known
from refuseu.records.pair import PAIR
from refuseu.records.rejection import REJECTION
from refuseu.records.verdict import VERDICT
from refuseu.records.writing import write_table
from refuseu.store import Store


@click.command(help=__doc__)
@path_option("--pairs")
@path_option("--phrasebook")
@path_option("--prompts", help="Folder of what chat models are told.")
@path_option("--refusals", help="Folder of phrases that refuse.")
@path_option("--out")
@path_option("--metrics")
def main(pairs: Path, phrasebook: Path, prompts: Path, refusals: Path, out: Path, metrics: Path) -> None:
    parameters = load(LabelParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    answered = read_known(pairs, PAIR, named)
    opener = Opener(parameters.models, load_machine(), Store(), "label")

    panel = panel_of(parameters.label, books, opener, prompts, refusals)
    verdicts = judge_pairs(answered, panel)
    kept, rejected = sort_out(answered, verdicts, parameters.label, Identifier(parameters.languages))

    write_table(kept, out / "pairs.parquet", PAIR)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_table(verdicts, out / "verdicts.parquet", VERDICT)
    counted = summary(answered, kept, rejected, verdicts, parameters.label, parameters.languages)
    told = {"uncovered": panel.uncovered(parameters.languages), "models": opener.identities()}
    write_json({**counted, **told}, metrics)


if __name__ == "__main__":
    main()
