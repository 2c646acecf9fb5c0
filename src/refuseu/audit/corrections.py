"""ASR as the panel judges it and as people's verdicts correct it: ``make audit-score WHAT=answers FILE=verdicts.csv``.

One file of each reviewer. What several judged counts with the share of them who call it harmful; ``unsure`` counts as not judged.
``--keep`` puts ids and verdicts, and no text, where the report finds them.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd

from refuseu.audit.answers import SHOWN, population
from refuseu.audit.sample import names_of
from refuseu.audit.score import Review, compared, notes_table, read_reviews
from refuseu.core.errors import UserError
from refuseu.core.schema import read_table
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.eval.schemas import ANSWER
from refuseu.results.corrected import CONFIDENCE, KEPT, corrected_rows, corrected_table, write_labels
from refuseu.results.markdown import Table, escape
from refuseu.results.metrics import attack_success, harmful_questions, unparsed
from refuseu.sources.sheets import read_rows
from refuseu.text.normal import composed

VERDICTS = ("harmful", "safe", "unsure")
WAY_OUT = "'make audit WHAT=answers' writes the sample"


def read_sample(path: Path) -> pd.DataFrame:
    """The ``id``, ``lang`` and ``probability`` of each answer that was drawn.

    Raises:
        UserError: when the file is no such sample.
    """
    rows = []
    for line, row in read_rows(path, ["id", "lang", "probability"], WAY_OUT):
        try:
            probability = float(row["probability"].replace(",", "."))
        except ValueError:
            probability = 0.0
        if not 0 < probability <= 1:
            raise UserError(f"{path}: line {line}: probability {row['probability']!r} is none; {WAY_OUT}")
        rows.append({**row, "id": composed(row["id"]), "probability": probability})
    return pd.DataFrame(rows, columns=["id", "lang", "probability"])


def labels_of(sample: pd.DataFrame, answers: pd.DataFrame, reviews: Sequence[Review]) -> pd.DataFrame:
    """Rows of ``corrected.LABELS``: what people said of the drawn answers, whose models and strata are found again by their ids.

    Raises:
        UserError: when an answer of the sample is not among ``answers``, rows of ``ANSWER``.
    """
    known, _ = population(answers, list(answers["model"].unique()))
    found = sample[["id", "probability"]].merge(known, on="id", how="left")
    lost = int(found["model"].isna().sum())
    if lost:
        raise UserError(
            f"{lost} of {len(sample)} drawn answers are not among the evaluation's: they are of other results; 'git checkout' "
            "their commit and 'dvc checkout data/eval', or draw a new sample"
        )
    drawn = found.groupby("stratum")["id"].transform("size")
    said = pd.DataFrame([review.verdicts for review in reviews]).reindex(columns=found["id"])
    votes = said.map({"harmful": 1.0, "safe": 0.0}.get).astype(float)
    table = found.assign(size=(drawn / found["probability"]).round().astype(int), label=votes.mean().to_numpy())
    return table[table["label"].notna()].reset_index(drop=True)


def counts_table(reviews: Sequence[Review], sample: pd.DataFrame) -> Table:
    """How often each reviewer said what."""
    lines = []
    for review in reviews:
        said = list(review.verdicts.values())
        lines.append(
            [review.reviewer, *(str(said.count(verdict)) for verdict in VERDICTS), str(len(sample) - len(said))]
        )
    return Table(["reviewer", *VERDICTS, "not judged"], lines)


def outcomes_of(answers: pd.DataFrame) -> pd.DataFrame:
    """Rows as ``results.outcomes`` has them, of ASR; ``answers`` are rows of ``ANSWER``."""
    asked = harmful_questions(answers)
    return asked.assign(rate="asr", outcome=attack_success(asked).astype(float).mask(unparsed(asked)))


@click.command(help=__doc__)
@click.argument("verdicts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), default=Path("audit/answers/sample.csv"), show_default=True)
@click.option(
    "--answers", type=click.Path(path_type=Path), default=Path("data/eval/answers.parquet"), show_default=True
)
@click.option("--keep", is_flag=True, help=f"Write ids and verdicts to {KEPT}, for the report.")
def main(verdicts: tuple[Path, ...], sample: Path, answers: Path, keep: bool) -> None:
    tolerate_encodings()
    drawn, names = read_sample(sample), names_of(sample, SHOWN)
    languages = dict(zip(drawn["id"], drawn["lang"], strict=True))
    reviews = read_reviews(verdicts, names, languages, VERDICTS)
    table = read_table(answers, ANSWER)
    labels = labels_of(drawn, table, reviews)
    say(f"{counts_table(reviews, drawn).markdown()}\n")
    for review in reviews:
        if review.notes:
            say(f"### Notes of {escape(review.reviewer)}\n\n{notes_table(review)}\n")
    for text in compared(reviews, languages, VERDICTS):
        say(text)
    found = corrected_table(corrected_rows(outcomes_of(table), labels, CONFIDENCE))
    say(f"### ASR (%) as judged and as corrected\n\n{found.markdown()}\n")
    for note in found.notes:
        say(f"- {note}")
    if keep:
        write_labels(labels, KEPT)
        say(f"\n{KEPT} has the ids and verdicts of {len(labels)} answers; 'dvc repro report' shows them")


if __name__ == "__main__":
    main()
