"""Draws answers of the evaluation that people judge without knowing whose they are: ``make audit WHAT=answers``.

The answers are those to harmful questions, of which ASR is counted. In each language they are drawn at random by what the panel
says and whether its judges agree, rarer answers more often. The page shows neither that nor the model; ``make audit-score
WHAT=answers`` finds both again by the id, and corrects ASR. What anybody flags S4 is left out.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd

from refuseu.audit.page import page
from refuseu.audit.sample import as_csv, keep_what_was_judged, name_of
from refuseu.core.errors import UserError
from refuseu.core.files import write_text
from refuseu.core.schema import QUESTION_AND_LANGUAGE, read_table
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.eval.schemas import ANSWER
from refuseu.experiment import PIVOT
from refuseu.judges.verdict import FORBIDDEN, Harm
from refuseu.results.metrics import harmful_questions
from refuseu.results.outputs import main_models
from refuseu.results.spreadsheet import visible
from refuseu.tables.schemas import TEST

SHOWN = ["id", "lang", "question", "english", "answer"]
"""What reviewers see; ``english`` is the question in English, empty where the question is, or where none is known."""
COLUMNS = [*SHOWN, "probability"]
"""``probability``, that the answer was drawn, is in the CSV alone: the rarer the panel's verdict, the greater it is."""
LEAST = 2
"""Answers of a stratum that are drawn at least, if it has so many: one alone shows no variance."""


def population(answers: pd.DataFrame, models: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """The answers to harmful questions of these models that may be shown, and how many may not; rows of ``ANSWER``.

    They get the columns ``id``, ``stratum`` and ``judged``. The id is made of all that names the answer and of its text, so that
    labels are lost, and not taken for those of another text, when a model answers anew.
    """
    asked = harmful_questions(answers[answers["model"].isin(models)])
    hidden = asked["flagged"] | (asked["category"] == FORBIDDEN)
    shown = asked[~hidden]
    named = [*ANSWER.key, "answer"]
    return shown.assign(
        id=[_id(row) for row in shown[named].itertuples(index=False)],
        stratum=shown["lang"] + " " + shown["harm"] + np.where(shown["agreed"], "", " disputed"),
        judged=(shown["harm"] == Harm.HARMFUL).astype(float),
    ), int(hidden.sum())


def _id(row: Sequence[object]) -> str:
    """A letter, so that no spreadsheet reads a number, and 12 hex digits that tell nothing."""
    return f"a{_digest(*row)[:12]}"


def _digest(*cells: object) -> str:
    return hashlib.sha256(json.dumps([str(cell) for cell in cells]).encode()).hexdigest()


def draw(answers: pd.DataFrame, a_language: int, seed: int) -> pd.DataFrame:
    """``a_language`` answers of each language (all, where there are fewer), with the ``probability`` that each was drawn.

    Within a stratum all are equally likely. They are taken at even distances from a list by model, each model's answers in a
    random order (systematic sampling), so that every model has its share.
    """
    shuffled = answers.assign(order=[_digest(seed, each) for each in answers["id"]])
    ordered = shuffled.sort_values(["stratum", "model", "order"]).drop(columns="order")
    counts: dict[str, int] = {}
    for _, strata in ordered["stratum"].groupby(ordered["lang"]):
        counts |= allocated(strata.value_counts().sort_index(), a_language)
    drawn = []
    for stratum, rows in ordered.groupby("stratum"):
        count = counts[str(stratum)]
        start = random.Random(f"{seed}-{stratum}").random()
        places = [int((start + number) * len(rows) / count) for number in range(count)]
        drawn.append(rows.iloc[places].assign(probability=count / len(rows)))
    return pd.concat(drawn).sort_values(["lang", "id"]).reset_index(drop=True)


def allocated(sizes: "pd.Series[int]", total: int) -> dict[str, int]:
    """How many of ``total`` are drawn of each stratum: ``LEAST``, and the rest by the root of its size (Bankier 1988).

    In proportion to the sizes hardly any disputed answer would be drawn; the same number of each, too few of what is common.
    """
    counts = {str(name): min(LEAST, int(size)) for name, size in sizes.items()}
    for _ in range(min(total, int(sizes.sum())) - sum(counts.values())):
        open_ones = [name for name in counts if counts[name] < sizes[name]]
        counts[max(open_ones, key=lambda name: (sizes[name] ** 0.5 / (counts[name] + 0.5), name))] += 1
    return counts


def with_texts(drawn: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """``COLUMNS`` of the drawn answers; ``questions`` are rows of ``TEST``."""
    texts = questions.set_index([*QUESTION_AND_LANGUAGE])["text"]
    english = drawn["question_id"].map(questions[questions["lang"] == PIVOT].set_index("question_id")["text"])
    return drawn.assign(
        question=texts.reindex(pd.MultiIndex.from_frame(drawn[[*QUESTION_AND_LANGUAGE]])).to_numpy(),
        english=english.where(drawn["lang"] != PIVOT, "").fillna(""),
        probability=drawn["probability"].map("{:.9f}".format),
    )[COLUMNS].map(visible)


@click.command(help=__doc__)
@click.option(
    "--answers", type=click.Path(path_type=Path), default=Path("data/eval/answers.parquet"), show_default=True
)
@click.option(
    "--questions", type=click.Path(path_type=Path), default=Path("data/split/test.parquet"), show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("audit/answers"), show_default=True)
@click.option("--a-language", type=click.IntRange(min=12), default=25, show_default=True, help="Answers a language.")
@click.option(
    "--model", "models", multiple=True, help="May be given several times; without it all but only-<language>."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--force", is_flag=True, help="Replace another sample that is there.")
def main(
    answers: Path, questions: Path, out: Path, a_language: int, models: tuple[str, ...], seed: int, force: bool
) -> None:
    tolerate_encodings()
    table = read_table(answers, ANSWER)
    known = list(table["model"].unique())
    for name in models:
        if name not in known:
            raise UserError(f"{answers}: no model {name!r}; it has {', '.join(known)}")
    shown, hidden = population(table, models or main_models(known))
    if shown.empty:
        raise UserError(f"{answers}: no answer to a harmful question may be shown; {hidden} are of {FORBIDDEN}")
    sample = with_texts(draw(shown, a_language, seed), read_table(questions, TEST))
    name = name_of(sample[SHOWN].itertuples(index=False))
    if not force:
        keep_what_was_judged(out / "sample.csv", name, SHOWN)
    write_text(as_csv(sample, COLUMNS), out / "sample.csv")
    write_text(page(sample[SHOWN].to_dict("records"), name, "answers"), out / "index.html")
    say(
        f"{len(sample)} of {len(shown)} answers, sample {name}: send {out / 'index.html'} to reviewers, and keep "
        f"{out / 'sample.csv'} to yourself"
    )
    if hidden:
        say(f"left out: {hidden} answers that are of {FORBIDDEN}, by their question or a judge")


if __name__ == "__main__":
    main()
