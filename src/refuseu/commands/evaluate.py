"""Asks one model the test questions and shows its attack success rate (ASR) by language: ``make evaluate MODEL=/a/folder``.

Nothing is trained, no base is made, and no model is fetched but this one and the judges of the profile. MODEL is a folder, a
repository of the hub (org/name), an entry of eval.models, or one of the profile's models. The questions are those of the
published test (RefusEU-test), unless another file is named.
"""

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import pandas as pd

from refuseu.commands.terminal import tolerate_encodings
from refuseu.core.environment import enter
from refuseu.core.errors import UserError
from refuseu.core.files import write_json
from refuseu.core.sections import load
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.eval.asking import EvaluationRun, ask_models
from refuseu.eval.factory import build_scorers
from refuseu.eval.models import EvaluatedModel, external
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, VOTE
from refuseu.eval.scoring import judges_votes, score_answers
from refuseu.eval.settings import EvalParameters, ExternalModel, ExternalWeights, NamedModel, external_model
from refuseu.eval.tables import by_judge, language_rows
from refuseu.judges.verdict import Exchange
from refuseu.llm.protocol import Sampling
from refuseu.llm.settings import BASE, NoRole
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.results.markdown import Table, shown, span
from refuseu.results.outputs import Asr
from refuseu.results.paper import Counterpart, PaperAsr
from refuseu.results.statistics import mean
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import Published
from refuseu.split.published import question_rows
from refuseu.store.rows import Store
from refuseu.tables.reading import question_values, read_known
from refuseu.tables.schemas import TEST
from refuseu.tables.writing import write_table
from refuseu.weights.reference import ADAPTER, is_folder

DATA, BASE_FOLDER = Path("data"), Path("models/base")
PAPER = DATA / "paper" / "asr.csv"
SIZES: tuple[Literal["8b", "70b"], ...] = ("8b", "70b")
CONFIGS, ALL = ("instruct", "abliterated", "balanced"), "all"
COUNTED = {"unparsed_rate": "unparsed", "language_consistency": "in language", "over_refusal": "over-refusal"}
"""What the table shows beside ASR, and how it calls that; over-refusal only where the questions hold benign ones."""


class EvaluateParameters(EvalParameters):
    """What the stage ``eval`` reads, and where the published set is."""

    published: Published


@dataclass(frozen=True)
class Result:
    """What one model answered, and what the judges said."""

    answers: pd.DataFrame
    """Rows of ``eval.schemas.ANSWER``."""
    votes: pd.DataFrame
    """Rows of ``eval.schemas.VOTE``."""
    model: str
    """The model's identity."""
    judges: dict[str, str]
    """Identities of the models that judged, by name."""


def questions_asked(parameters: EvaluateParameters, path: Path | None) -> tuple[str, pd.DataFrame]:
    """Return where the questions come from, and the questions (``schemas.TEST``): the published test's, or those in ``path``.

    Raises:
        UserError: when they cannot be read.
    """
    if path is None:
        the_set = PublishedSet(parameters.published, DATA / "published", parameters.languages, Store())
        return f"{the_set.name}, evaluation", question_rows(the_set.test)
    if not path.is_file():
        raise UserError(f"--questions {path}: there is no such file; name a table like data/split/test.parquet")
    named = question_values(parameters.languages, parameters.categories, parameters.styles)
    return str(path), read_known(path, TEST, named)


def entry_of(given: str, settings: dict[str, str], parameters: EvalParameters) -> ExternalModel:
    """Return MODEL as an entry of ``eval.models``; ``settings`` are those of the engine that shall run it.

    Raises:
        UserError: for a name that nothing has, and for settings that do not fit.
    """
    if "/" in given or is_folder(given):
        entry: ExternalModel = external_model({"folder" if is_folder(given) else "repo": given, **settings})
        return entry
    if settings:
        raise UserError(
            f"MODEL={given}: {', '.join(settings)} stand with the model in the profile; leave them out here"
        )
    if given in parameters.eval.models:
        return parameters.eval.models[given]
    if given in parameters.models:
        return NamedModel(model=given)
    names = ", ".join([*parameters.eval.models, *parameters.models])
    raise UserError(f"MODEL={given}: is no folder (/a/folder, ./folder), no repository (org/name) and none of {names}")


def evaluated(parameters: EvaluateParameters, name: str, asked: ExternalModel, questions: pd.DataFrame) -> Result:
    """Ask the model, which tables call ``name``, and have its answers judged; rows that the store holds are not asked again.

    Raises:
        UserError: for a model or a judge that cannot be had, and for rows that failed.
    """
    base = BASE_FOLDER if BASE_FOLDER.is_dir() else None
    with closing(EngineFactory(parameters.models, load_machine(), Store(), "evaluate", base)) as engines:
        model = _opened(name, asked, parameters, engines)
        books = load_phrasebooks(DATA / "phrasebook", parameters.languages, parameters.categories, parameters.styles)
        scorers = build_scorers(parameters, books, engines, DATA / "prompts", DATA / "refusals", DATA / "fluency")
        texts, sampling = list(questions["text"]), Sampling(parameters.eval.max_new_tokens)
        run = EvaluationRun(texts, None, sampling, parameters.models, engines.machine)
        (outputs,) = ask_models({name: model}, run, engines.store)
        said = [answer.text for answer in outputs.answers]
        decisions = scorers.panel.decide(list(map(Exchange, questions["lang"], texts, said)))
        answers = score_answers(name, questions, outputs.answers, decisions, scorers)
        return Result(answers, judges_votes(name, questions, decisions), outputs.identity, engines.identities())


def _opened(name: str, asked: ExternalModel, parameters: EvalParameters, engines: EngineFactory) -> EvaluatedModel:
    """Return the model, checked. Only an adapter needs the base: what the stage made, else the profile's of the hub."""
    adapter = isinstance(asked, ExternalWeights) and asked.folder and (Path(asked.folder) / ADAPTER).is_file()
    base = engines.weights(BASE)[0] if adapter else None
    return external(name, asked, base, parameters.models, engines)


def table(result: Result, parameters: EvalParameters) -> Table:
    """Return a row a language and their averages: ASR with its interval, other counts, and ASR if one judge alone decided."""
    nothing = pd.DataFrame(columns=list(KNOWLEDGE.columns))
    rows = language_rows(result.answers, nothing, parameters.languages, parameters.eval)
    judged = by_judge(result.answers, result.votes, parameters.languages, parameters.eval.max_unparsed)
    judges = list(dict.fromkeys(str(row["judge"]) for row in judged))
    by_language = {(row["judge"], row["language"]): row for row in judged}
    counted = {name: words for name, words in COUNTED.items() if any(row[name] is not None for row in rows)}

    def line(row: dict[str, Any]) -> list[str]:
        alone = [by_language.get((judge, row["language"])) for judge in judges]
        return [
            str(row["language"]),
            str(row["n"]),
            _asr(row),
            span(row["asr_low"], row["asr_high"]),
            *(shown(row[name]) for name in counted),
            *(_asr(each) if each else shown(None) for each in alone),
        ]

    average = [
        "average",
        str(sum(row["n"] for row in rows)),
        _average(rows),
        "",
        *(_mean(rows, name) for name in counted),
    ]
    average += [_average([by_language[judge, row["language"]] for row in rows]) for judge in judges]
    header = ["language", "harmful", "ASR", "interval", *counted.values(), *(f"by {judge}" for judge in judges)]
    return Table(header, [*map(line, rows), average])


def paper_table(paper: PaperAsr, languages: list[str]) -> Table:
    """Return the paper's own ASR on RefusEU-test by language: its two models that were there, and the one trained on all."""
    columns = {f"{size} {config}": paper.of(Counterpart(size, config)) for size in SIZES for config in CONFIGS}
    names = [*(lang for lang in languages if any(lang in column for column in columns.values())), ALL]
    return Table(
        ["paper", *columns], [[name, *(shown(column.get(name)) for column in columns.values())] for name in names]
    )


def _asr(row: dict[str, Any]) -> str:
    return Asr.model_validate({name: row[name] for name in Asr.model_fields}).text


def _average(rows: list[dict[str, Any]]) -> str:
    """The mean over languages; a range as soon as one language is one."""
    ranged = any(row["asr"] is None for row in rows)
    bounds = {name: mean(pd.Series([row[name] for row in rows])) for name in ("asr_lower_bound", "asr_upper_bound")}
    return _asr({"asr": None if ranged else bounds["asr_lower_bound"], **bounds})


def _mean(rows: list[dict[str, Any]], name: str) -> str:
    return shown(mean(pd.Series([row[name] for row in rows], dtype=float)))


def slug(given: str) -> str:
    """Return a name for the folder of the results: the last part of a path or repository, in lower case."""
    return re.sub(r"[^a-z0-9]+", "-", given.rstrip("/").rpartition("/")[2].casefold()).strip("-") or "model"


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
    asked = entry_of(model, settings, parameters)
    source, rows = questions_asked(parameters, questions)
    result = evaluated(parameters, called, asked, rows)

    shown_table = table(result, parameters)
    write_table(result.answers, out / called / "answers.parquet", ANSWER)
    write_table(result.votes, out / called / "votes.parquet", VOTE)
    cells = [dict(zip(shown_table.header, row, strict=True)) for row in shown_table.rows]
    write_json(
        {"model": result.model, "judges": result.judges, "questions": source, "table": cells},
        out / called / "result.json",
    )
    click.echo(f"{called}, asked the questions of {source}; ASR in %, lower is safer\n\n{shown_table.text()}")
    beside = paper_table(PaperAsr.read(PAPER), parameters.languages)
    click.echo(f"\nThe paper's own models on RefusEU-test, by its judges ({PAPER.parent}/README.md)\n\n{beside.text()}")
    click.echo(f"\nAnswers and votes: {out / called}")


if __name__ == "__main__":
    enter("refuseu.commands.evaluate")
    main()
