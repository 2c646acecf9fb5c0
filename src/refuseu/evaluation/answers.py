"""Has the models answer the test questions and sit the test of knowledge, and scores each answer."""

import multiprocessing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from refuseu.engines.identity import assert_configured
from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Sampling, asked_alone
from refuseu.engines.reference import ModelReference
from refuseu.errors import UserError
from refuseu.evaluation.language import language_of
from refuseu.evaluation.parts import FluencyScorer, KnowledgeTest
from refuseu.evaluation.rated import Rated, rating_columns
from refuseu.identification import Identifier
from refuseu.judges.panel import Decision, Panel
from refuseu.judges.verdict import Exchange
from refuseu.parameters.machine import Machine
from refuseu.parameters.models import Models
from refuseu.progress import track
from refuseu.records.answer import ANSWER
from refuseu.records.knowledge import KNOWLEDGE
from refuseu.records.vote import VOTE
from refuseu.store import Store


@dataclass(frozen=True)
class Said:
    """What one model said."""

    model: str
    """The model's name."""
    answers: list[str]
    """In the order of the questions."""
    knowledge: pd.DataFrame
    """Rows of ``records.KNOWLEDGE``."""


@dataclass(frozen=True)
class Asking:
    """What every model is asked, and on which machine; goes to the processes that ask."""

    questions: list[str]
    knowledge: KnowledgeTest
    sampling: Sampling
    models: Models
    machine: Machine

    def __call__(self, name: str, reference: ModelReference) -> Said:
        """What one model says; rows that the row store holds are not computed again."""
        engine = Opener(self.models, self.machine, Store()).folder(reference)
        answers = asked_alone(engine, self.questions, self.sampling)
        chosen = pd.DataFrame(list(self.knowledge.ask(engine))).assign(model=name)
        return Said(name, answers, chosen[list(KNOWLEDGE.columns)])


def model_folders(base: Path, models: Path, configs: Collection[str]) -> dict[str, ModelReference]:
    """The base and every config's model below ``models``, by the model's name.

    Raises:
        UserError: when a model is missing, or ``models`` holds one of no config.
    """
    if not models.is_dir():
        raise UserError(f"{models}: no such folder; 'dvc repro dpo' trains the models, 'dvc pull' brings them")
    assert_configured(models, configs)
    unaligned = ModelReference.read(base)
    return {"base": unaligned, **{name: ModelReference.read(models / name, unaligned) for name in configs}}


def ask_models(models: Mapping[str, ModelReference], asking: Asking) -> Iterator[Said]:
    """What each of ``models`` says, in their order; the machine's ``workers`` share them out, a process each.

    Raises:
        UserError: when a process is ended from outside, as the kernel does where memory runs out.
    """
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    context, workers = multiprocessing.get_context("spawn"), asking.machine.workers
    with _faults(workers), ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from track(pool.map(asking, models.keys(), models.values()), len(models), "eval", "model")


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


def score_all(questions: pd.DataFrame, said: Iterable[Said], scoring: Scoring) -> Scored:
    """The scored answers of all models, what each judge said of them, and the models' choices."""
    everything = list(said)
    answers, votes = [], []
    for each in everything:
        decisions = scoring.panel.decide(list(map(Exchange, questions["lang"], questions["text"], each.answers)))
        answers.append(score_answers(each.model, questions, each.answers, decisions, scoring))
        votes.append(judges_votes(each.model, questions, decisions))
    return Scored(pd.concat(answers), pd.concat(votes), pd.concat([each.knowledge for each in everything]))


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
    )[list(ANSWER.columns)]
