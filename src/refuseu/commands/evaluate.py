"""Asks one model the test questions and shows its attack success rate (ASR) by language: ``make evaluate MODEL=/a/folder``.

Nothing is trained, no base is made, and no model is fetched but this one and the judges of the profile. MODEL is a folder, a
repository of the hub (org/name), an entry of eval.models, or one of the profile's models. The questions are those of the
published test (RefusEU-test), unless another file is named.
"""

from pathlib import Path

import click

from refuseu.core.environment import enter
from refuseu.core.files import write_json
from refuseu.core.sections import load
from refuseu.core.terminal import say, tolerate_encodings
from refuseu.eval.schemas import ANSWER, VOTE
from refuseu.evaluate.one_model import EvaluateParameters, entry_of, evaluated, slug
from refuseu.evaluate.table import PAPER, paper_table, table
from refuseu.llm.settings import NoRole
from refuseu.results.paper import PaperAsr
from refuseu.tables.writing import write_table


@click.command(help=__doc__)
@click.argument("model")
@click.option("--profile", help="A file of profiles/, whose judges judge; without it the one that params.yaml names.")
@click.option(
    "--questions", type=click.Path(path_type=Path), help="Another table of test questions (data/split/test.parquet)."
)
@click.option("--engine", help="What runs the model; without it what runs the profile's base.")
@click.option("--dtype", help="The numbers that it computes in; without it those of the profile's base.")
@click.option("--name", help="What tables and the folder of the results call the model.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("evaluations"), show_default=True)
def main(
    model: str,
    profile: str | None,
    questions: Path | None,
    engine: str | None,
    dtype: str | None,
    name: str | None,
    out: Path,
) -> None:
    tolerate_encodings()
    parameters = load(EvaluateParameters, profile=profile)
    # The ratings of fluency take prompts of their own, which this command does not ask.
    unrated = parameters.eval.model_copy(update={"rating": NoRole(kind="none")})
    parameters = parameters.model_copy(update={"eval": unrated})
    settings = {key: value for key, value in (("engine", engine), ("dtype", dtype)) if value}
    called = name or slug(model)
    result = evaluated(parameters, called, entry_of(model, settings, parameters), model, questions)

    shown_table = table(result, parameters)
    write_table(result.answers, out / called / "answers.parquet", ANSWER)
    write_table(result.votes, out / called / "votes.parquet", VOTE)
    cells = [dict(zip(shown_table.header, row, strict=True)) for row in shown_table.rows]
    write_json(
        {"model": result.model, "judges": result.judges, "questions": result.source, "table": cells},
        out / called / "result.json",
    )
    say(f"{called}, asked the questions of {result.source}; ASR in %, lower is safer\n\n{shown_table.text()}")
    beside = paper_table(PaperAsr.read(PAPER), parameters.languages)
    say(f"\nThe paper's own models on RefusEU-test, by its judges ({PAPER.parent}/README.md)\n\n{beside.text()}")
    say(f"\nAnswers and votes: {out / called}")


if __name__ == "__main__":
    enter("refuseu.commands.evaluate")
    main()
