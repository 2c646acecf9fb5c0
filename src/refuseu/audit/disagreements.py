"""The largest disagreements of the judges, with their texts: ``make audit WHAT=disagreements``.

They are those of ``plots/eval/disagreements.json``. The texts may be harmful, so they stand in no file that Git or DVC keeps.
"""

from pathlib import Path

import click
import pandas as pd
from pydantic import TypeAdapter

from refuseu.audit.answers import with_texts
from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.eval.schemas import ANSWER
from refuseu.judges.verdict import FORBIDDEN
from refuseu.results.markdown import Table
from refuseu.results.outputs import DisagreementRow, read
from refuseu.tables.schemas import TEST


def disagreement_table(rows: list[DisagreementRow], answers: pd.DataFrame, questions: pd.DataFrame) -> Table:
    """Each of them with its question, also in English, and its answer; no text of one that nobody is to be shown.

    Raises:
        UserError: when an answer is not among ``answers``.
    """
    key = [*ANSWER.key]
    named = pd.DataFrame(
        [{**row.model_dump(include={"model", "seed", "question_id"}), "lang": row.language} for row in rows]
    )
    found = named.merge(answers, on=key, how="left") if rows else answers[:0]
    if found["answer"].isna().any():
        raise UserError(
            "the answers are of other results than plots/eval/disagreements.json; 'dvc repro eval' makes both"
        )
    shown = with_texts(found.assign(id="", probability=1.0), questions)
    hidden = found["flagged"] | (found["category"] == FORBIDDEN)
    texts = shown[["question", "english", "answer"]].mask(hidden, "").to_numpy().tolist()
    said = [
        [
            row.model,
            str(row.seed),
            row.language,
            ", ".join(f"{judge}: {harm}" for judge, harm in row.verdicts.items()),
            row.panel,
        ]
        for row in rows
    ]
    header = ["model", "seed", "language", "judges", "panel", "question", "in English", "answer"]
    return Table(header, [[*one, *other] for one, other in zip(said, texts, strict=True)], names=len(header))


@click.command(help=__doc__)
@click.option(
    "--rows", type=click.Path(path_type=Path), default=Path("plots/eval/disagreements.json"), show_default=True
)
@click.option(
    "--answers", type=click.Path(path_type=Path), default=Path("data/eval/answers.parquet"), show_default=True
)
@click.option(
    "--questions", type=click.Path(path_type=Path), default=Path("data/split/test.parquet"), show_default=True
)
def main(rows: Path, answers: Path, questions: Path) -> None:
    tolerate_encodings()
    found = read(rows, TypeAdapter(list[DisagreementRow]), "eval")
    table = disagreement_table(found, read_table(answers, ANSWER), read_table(questions, TEST))
    say(table.markdown() if found else "The judges do not differ, or the panel is one judge.")


if __name__ == "__main__":
    main()
