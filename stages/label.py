"""Have the judge panel label question, chosen and rejected, keep the questions, and mark the pairs that the protocol accepts."""

from pathlib import Path

import click

from refuseu.core.files import write_json
from refuseu.core.options import path_option
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.judges.panel import build_panel
from refuseu.judges.settings import Resources
from refuseu.label.labelling import VERDICT, judge_pairs, summary, verdict_rows
from refuseu.label.protocol import ITEMS, in_their_language, judged, sort_out, without_answer
from refuseu.label.settings import LabelParameters
from refuseu.llm.identifier import open_identifier
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.store.rows import Store
from refuseu.tables.losses import tell_accepted, tell_losses
from refuseu.tables.reading import Batches, question_values, read_known
from refuseu.tables.rows import write_rows
from refuseu.tables.schemas import LABELLED, PAIR, REJECTION
from refuseu.tables.writing import write_batches, write_table


@click.command(help=__doc__)
@path_option("--pairs", "data/respond/pairs.parquet")
@path_option("--phrasebook", "data/phrasebook")
@path_option("--prompts", "data/prompts", "Folder of prompts.")
@path_option("--refusals", "data/refusals", "Folder of phrases that refuse.")
@path_option("--base", "models/base")
@path_option("--out", "data/label")
@path_option("--metrics", "metrics/label.json")
def main(pairs: Path, phrasebook: Path, prompts: Path, refusals: Path, base: Path, out: Path, metrics: Path) -> None:
    parameters = load(LabelParameters)
    books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    texts = Batches(pairs, PAIR, tuple(ITEMS.values()))
    answered = read_known(pairs, PAIR, named, without=ITEMS.values())
    engines = EngineFactory(parameters.models, load_machine(), Store(), "label", base)
    panel = build_panel(parameters.label, Resources(lambda: books, engines.named, prompts, refusals))

    identifier = open_identifier(parameters.identifier, parameters.languages, engines.store, engines.loaded_elsewhere)
    right_language = in_their_language(texts, identifier)
    judges = {
        name: judge
        for name, judge in panel.everyone.items()
        if name in (*parameters.label.voters, *panel.shadow_judges)
    }
    votes = judge_pairs(texts, len(answered), judges)
    found = judged(answered, right_language, votes, parameters.label, without_answer(texts))
    kept, not_accepted = sort_out(answered, found)

    write_batches(texts.complete(kept), out / "pairs.parquet", LABELLED)
    write_table(not_accepted, out / "rejected.parquet", REJECTION)
    write_batches(verdict_rows(answered, votes), out / "verdicts.parquet", VERDICT)
    write_rows(engines.store, out)
    counted = summary(answered, found, votes, parameters.label, parameters.languages)
    judged_by = {"uncovered": panel.uncovered(parameters.languages), "models": engines.identities()}
    write_json({**counted, **judged_by}, metrics)
    tell_losses("label", metrics, kept, parameters.languages)
    tell_accepted(metrics)


if __name__ == "__main__":
    main()
