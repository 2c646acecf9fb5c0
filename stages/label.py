"""Have the judge panel label question, chosen and rejected, and keep the pairs that the protocol accepts."""

from pathlib import Path

import click

from refuseu.engines.opening import Opener
from refuseu.files.options import path_option
from refuseu.files.writing import write_json
from refuseu.identification import Identifier
from refuseu.judges.seating import panel_of
from refuseu.labelling import ITEMS, in_their_language, judge_pairs, sort_out, summary, verdict_rows
from refuseu.parameters.label import LabelParameters
from refuseu.parameters.loading import load
from refuseu.parameters.machine import load_machine
from refuseu.phrasebook import load_phrasebooks
from refuseu.records.batches import Batches
from refuseu.records.known import question_values, read_known
from refuseu.records.pair import PAIR
from refuseu.records.rejection import REJECTION
from refuseu.records.verdict import VERDICT
from refuseu.records.writing import write_batches, write_table
from refuseu.store import Store


@click.command(help=__doc__)
@path_option("--pairs")
@path_option("--phrasebook")
@path_option("--prompts", help="Folder of what chat models are told.")
@path_option("--refusals", help="Folder of phrases that refuse.")
@path_option("--base")
@path_option("--out")
@path_option("--metrics")
def main(pairs: Path, phrasebook: Path, prompts: Path, refusals: Path, base: Path, out: Path, metrics: Path) -> None:
    parameters = load(LabelParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    texts = Batches(pairs, PAIR, tuple(ITEMS.values()))
    answered = read_known(pairs, PAIR, named, without=ITEMS.values())
    opener = Opener(parameters.models, load_machine(), Store(), "label", base)
    panel = panel_of(parameters.label, books, opener, prompts, refusals)

    right_language = in_their_language(texts, Identifier(parameters.languages))
    judges = {
        name: judge for name, judge in panel.everyone.items() if name in (*parameters.label.voters, *panel.beside)
    }
    votes = judge_pairs(texts, len(answered), judges)
    kept, rejected = sort_out(answered, right_language, votes, parameters.label)

    write_batches(texts.complete(kept), out / "pairs.parquet", PAIR)
    write_table(rejected, out / "rejected.parquet", REJECTION)
    write_batches(verdict_rows(answered, votes), out / "verdicts.parquet", VERDICT)
    counted = summary(answered, kept, rejected, votes, parameters.label, parameters.languages)
    told = {"uncovered": panel.uncovered(parameters.languages), "models": opener.identities()}
    write_json({**counted, **told}, metrics)


if __name__ == "__main__":
    main()
