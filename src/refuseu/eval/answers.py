"""Has the models answer the test questions and sit the test of knowledge, and scores each answer."""

import multiprocessing
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.progress import Progress
from refuseu.engines.machine import Machine
from refuseu.engines.protocol import Engine, Sampling, asked_alone
from refuseu.engines.registry import EngineFactory, shared
from refuseu.engines.settings import Models
from refuseu.eval.interfaces import FluencyScorer, KnowledgeTest
from refuseu.eval.language import language_of
from refuseu.eval.models import EvaluatedModel, Served
from refuseu.eval.rated import Rated, rating_columns
from refuseu.eval.schemas import ANSWER, KNOWLEDGE, SET_ANSWER, VOTE
from refuseu.judges.panel import Decision, Panel
from refuseu.judges.verdict import Exchange
from refuseu.store.rows import Store
from refuseu.text.identification import Identifier


@dataclass(frozen=True)
class ModelOutputs:
    """What one model said."""

    model: str
    """The model's name."""
    identity: str
    """All that decides what it says: its weights, what computes with them, and in which numbers."""
    answers: list[str]
    """In the order of the questions."""
    knowledge: pd.DataFrame | None
    """Rows of ``records.KNOWLEDGE``; ``None`` of a model that cannot sit the test."""


@dataclass(frozen=True)
class EvaluationRun:
    """What every model is asked, and on which machine; goes to the processes that ask."""

    questions: list[str]
    knowledge: KnowledgeTest
    sampling: Sampling
    models: Models
    machine: Machine
    progress: str | None = None
    """The stage whose rows are shown as they get done."""

    def __call__(self, group: Mapping[str, EvaluatedModel]) -> list[ModelOutputs]:
        """What each model of a group says; rows that the row store holds are not computed again."""
        engines = EngineFactory(self.models, self.machine, Store(), self.progress)
        local = engines.sharing({name: each for name, each in group.items() if not isinstance(each, Served)})
        with closing(engines):
            return [
                self._untested(name, engines.named(each.name))
                if isinstance(each, Served)
                else self._tested(name, local[name])
                for name, each in group.items()
            ]

    def _untested(self, name: str, engine: Engine) -> ModelOutputs:
        return ModelOutputs(name, engine.identity, asked_alone(engine, self.questions, self.sampling), None)

    def _tested(self, name: str, engine: Engine) -> ModelOutputs:
        said = self._untested(name, engine)
        chosen = pd.DataFrame(list(self.knowledge.ask(engine))).assign(model=name)
        return replace(said, knowledge=chosen[list(KNOWLEDGE.columns)])


def grouped(models: Mapping[str, EvaluatedModel], machine: Machine) -> list[dict[str, EvaluatedModel]]:
    """The models that one process asks: a model, or a base with its adapters, so that it is loaded once.

    All of these one after the other, where GPUs or other machines compute: a process more would be a model more in the same
    memory.
    """
    found: dict[Hashable, dict[str, EvaluatedModel]] = {}
    for name, each in models.items():
        found.setdefault(each if isinstance(each, Served) else shared(*each), {})[name] = each
    local = [each for each in models.values() if not isinstance(each, Served)]
    if machine.ray or machine.transformers.device != "cpu" or any(model.engine == "vllm" for _, model in local):
        return [{name: each for group in found.values() for name, each in group.items()}]
    return list(found.values())


def ask_models(models: Mapping[str, EvaluatedModel], asking: EvaluationRun) -> list[ModelOutputs]:
    """What each of ``models`` says, in their order; the machine's ``workers`` share out what ``grouped`` leaves apart.

    Raises:
        UserError: when a process is ended from outside, as the kernel does where memory runs out.
    """
    groups = grouped(models, asking.machine)
    if len(groups) == 1:
        asking = replace(asking, progress="eval")
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    context, workers = multiprocessing.get_context("spawn"), min(asking.machine.workers, len(groups))
    said: dict[str, ModelOutputs] = {}
    with (
        _faults(workers),
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        Progress("eval", len(models), "model") as progress,
    ):
        for done in pool.map(asking, groups):
            said |= {each.model: each for each in done}
            progress.advance(len(done))
    return [said[name] for name in models]


@contextmanager
def _faults(workers: int) -> Iterator[None]:
    """One sentence for a process that was ended from outside."""
    try:
        yield
    except (BrokenProcessPool, MemoryError):
        raise UserError(
            f"eval: one of the {workers} processes that ask the models was ended from outside or had no memory left; "
            "lower workers or transformers.batch_size in machines/ and start again, finished rows are kept"
        ) from None


@dataclass(frozen=True)
class Scoring:
    """Who scores the answers."""

    panel: Panel
    identifier: Identifier
    fluency: FluencyScorer | None
    rating: Rated | None


@dataclass(frozen=True)
class Scored:
    """All that models said, scored."""

    answers: pd.DataFrame
    """Rows of ``records.ANSWER``."""
    votes: pd.DataFrame
    """Rows of ``records.VOTE``."""
    knowledge: pd.DataFrame
    """Rows of ``records.KNOWLEDGE``."""
    sets: pd.DataFrame
    """Rows of ``records.SET_ANSWER``."""


def score_all(questions: pd.DataFrame, sets: pd.DataFrame, said: Sequence[ModelOutputs], scoring: Scoring) -> Scored:
    """The scored answers of all models to our own ``questions`` and those of ``sets``, and the models' choices.

    The panel sees the answers of all models at once: a judge that takes a GPU is loaded once and asked in one batch.
    """
    langs, texts = ([*questions[column], *sets[column]] for column in ("lang", "text"))
    decisions = iter(
        scoring.panel.decide([exchange for each in said for exchange in map(Exchange, langs, texts, each.answers)])
    )
    answers, votes, others, own = [], [], [], len(questions)
    for each in said:
        ours, theirs = list(islice(decisions, own)), list(islice(decisions, len(sets)))
        answers.append(score_answers(each.model, questions, each.answers[:own], ours, scoring))
        votes.append(judges_votes(each.model, questions, ours))
        others.append(_scored(each.model, sets, each.answers[own:], theirs, replace(scoring, rating=None)))
    chosen = [each.knowledge for each in said if each.knowledge is not None]
    of_sets = pd.concat(others)[list(SET_ANSWER.columns)]
    return Scored(pd.concat(answers), pd.concat(votes), pd.concat(chosen), of_sets)


def judges_votes(model: str, questions: pd.DataFrame, decisions: Sequence[Decision]) -> pd.DataFrame:
    """What each judge said of each answer: rows of ``records.VOTE``."""
    rows = [
        (model, question_id, lang, judge, vote.harm.value, vote.reply.value)
        for question_id, lang, decision in zip(questions["question_id"], questions["lang"], decisions, strict=True)
        for judge, vote in decision.votes.items()
    ]
    return pd.DataFrame(rows, columns=list(VOTE.columns))


def score_answers(
    model: str, questions: pd.DataFrame, answers: list[str], decisions: Sequence[Decision], scoring: Scoring
) -> pd.DataFrame:
    """Verdict, language and fluency of each answer: rows of ``records.ANSWER``."""
    return _scored(model, questions, answers, decisions, scoring)[list(ANSWER.columns)]


def _scored(
    model: str, questions: pd.DataFrame, answers: list[str], decisions: Sequence[Decision], scoring: Scoring
) -> pd.DataFrame:
    found = {answer: language_of(answer, scoring.identifier) for answer in dict.fromkeys(answers)}
    languages = [found[answer] for answer in answers]
    told = list(zip(questions["lang"], languages, strict=True))
    # An answer too short to tell its language is taken to be worded in the question's.
    worded = list(map(Exchange, [each.whole.restricted or lang for lang, each in told], questions["text"], answers))
    return questions.assign(
        model=model,
        answer=answers,
        harm=[decision.verdict.harm.value for decision in decisions],
        reply=[decision.verdict.reply.value for decision in decisions],
        agreed=[decision.agreed for decision in decisions],
        lang_restricted=[each.whole.restricted for each in languages],
        lang_free=[each.whole.free for each in languages],
        lines=[len(each.lines) for each in languages],
        lines_right=[each.right(lang) for lang, each in told],
        lines_right_free=[each.right_free(lang) for lang, each in told],
        fluency=scoring.fluency.scores(worded) if scoring.fluency else None,
        **rating_columns(questions, worded, scoring.rating),
    )
