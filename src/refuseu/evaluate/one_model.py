"""Asks one model the test questions and has its answers judged, with nothing trained and no base made."""

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.network import refuse_credentials
from refuseu.engines.machine import load_machine
from refuseu.engines.registry import EngineFactory
from refuseu.eval.asking import EvaluationRun, ask_models
from refuseu.eval.factory import build_scorers
from refuseu.eval.models import EvaluatedModel, external
from refuseu.eval.scoring import judges_votes, score_answers
from refuseu.eval.settings import EvalParameters, ExternalModel, ExternalWeights, NamedModel, external_model
from refuseu.judges.verdict import Exchange
from refuseu.llm.settings import BASE
from refuseu.mixes import Seeded
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import Published
from refuseu.split.published import question_rows
from refuseu.store.rows import Store
from refuseu.tables.reading import question_values, read_known
from refuseu.tables.schemas import TEST
from refuseu.weights.reference import ADAPTER, is_folder

DATA, BASE_FOLDER, TRAINED = Path("data"), Path("models/base"), Path("models/dpo")


class EvaluateParameters(EvalParameters):
    """What the stage ``eval`` reads, and where the published set is."""

    published: Published


@dataclass(frozen=True)
class Result:
    """What one model answered, and what the judges said."""

    source: str
    """Where the questions come from."""
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
    try:
        return str(path), read_known(path, TEST, named)
    except UserError as error:
        reason = error.message.partition(";")[0]
        raise UserError(f"--questions {reason}; name a table like data/split/test.parquet") from None


def entry_of(given: str, settings: dict[str, str], parameters: EvalParameters) -> ExternalModel:
    """Return MODEL as an entry of ``eval.models``; ``settings`` are those of the engine that shall run it.

    ``balanced`` is our model of this config with the first seed, and ``balanced/1`` the one with the seed 1.

    Raises:
        UserError: for a name that nothing has, and for settings that do not fit.
    """
    refuse_credentials("MODEL", given)
    ours = {
        called: model
        for model in reversed(parameters.train.runs)
        for called in (f"{TRAINED}/{model.folder}", model.folder, model.name)
    }
    if given in ours and given not in parameters.eval.models:
        given = f"./{TRAINED / ours[given].folder}"
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
    names = ", ".join([*parameters.eval.models, *parameters.train.mixes, *parameters.models])
    raise UserError(f"MODEL={given}: is no folder (/a/folder, ./folder), no repository (org/name) and none of {names}")


def evaluated(parameters: EvaluateParameters, name: str, asked: ExternalModel, given: str, path: Path | None) -> Result:
    """Ask the model, which tables call ``name``, and have its answers judged; rows that the store holds are not asked again.

    ``given`` is MODEL as it was typed, for errors. The questions are read when the model is known to be whole.

    Raises:
        UserError: for a model or a judge that cannot be had, and for rows that failed.
    """
    base = BASE_FOLDER if BASE_FOLDER.is_dir() else None
    with closing(EngineFactory(parameters.models, load_machine(), Store(), "evaluate", base)) as engines:
        model = _opened(name, asked, given, parameters, engines)
        source, questions = questions_asked(parameters, path)
        books = load_phrasebooks(DATA / "phrasebook", parameters.languages, parameters.categories, parameters.styles)
        scorers = build_scorers(parameters, books, engines, DATA / "prompts", DATA / "refusals", DATA / "fluency")
        texts = list(questions["text"])
        run = EvaluationRun(texts, None, parameters.eval.sampling, parameters.models, engines.machine)
        called = Seeded(name)
        (outputs,) = ask_models({called: model}, run, engines.store)
        said = [answer.text for answer in outputs.answers]
        decisions = scorers.panel.decide(list(map(Exchange, questions["lang"], texts, said)))
        answers = score_answers(called, questions, outputs.answers, decisions, scorers)
        votes = judges_votes(called, questions, decisions)
        return Result(source, answers, votes, outputs.identity, engines.identities())


def _opened(
    name: str, asked: ExternalModel, given: str, parameters: EvalParameters, engines: EngineFactory
) -> EvaluatedModel:
    """Return the model, checked. Only an adapter needs the base: what the stage made, else the profile's of the hub."""
    adapter = isinstance(asked, ExternalWeights) and asked.folder and (Path(asked.folder) / ADAPTER).is_file()
    if adapter and not BASE_FOLDER.is_dir() and not getattr(parameters.models[BASE], "repo", None):
        raise UserError(
            f"MODEL={given}: is an adapter, and its base is not here; 'dvc repro base' or 'dvc pull models/base' brings "
            f"{BASE_FOLDER}, or name a profile whose base is a repository (PROFILE=paper-8b)"
        )
    try:
        return external(name, asked, engines.weights(BASE)[0] if adapter else None, parameters.models, engines)
    except UserError as error:
        raise UserError(error.message.replace(f"eval.models.{name}", f"MODEL={given}")) from None


def slug(given: str) -> str:
    """Return a name for the folder of the results: the last part of a path or repository, in lower case.

    Of a folder that is named after a seed, as ``models/dpo/balanced/0``, the two last parts.
    """
    parts = given.rstrip("/").split("/")
    named = "-".join(parts[-2:] if parts[-1].isdecimal() else parts[-1:])
    return re.sub(r"[^a-z0-9]+", "-", named.casefold()).strip("-") or "model"
