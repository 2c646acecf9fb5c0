"""Has the models answer the test questions and sit the test of knowledge, and scores each answer."""

import multiprocessing
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import pandas as pd

from refuseu.engines.opening import Opener, shared
from refuseu.engines.protocol import Engine, Sampling, asked_alone
from refuseu.errors import UserError
from refuseu.evaluation.contestants import Contestant, Served
from refuseu.evaluation.parts import FluencyScorer, KnowledgeTest
from refuseu.identification import Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange
from refuseu.parameters.machine import Machine
from refuseu.parameters.models import Models
from refuseu.progress import Progress
from refuseu.records.knowledge import KNOWLEDGE
from refuseu.store import Store


@dataclass(frozen=True)
class Said:
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
class Asking:
    """What every model is asked, and on which machine; goes to the processes that ask."""

    questions: list[str]
    knowledge: KnowledgeTest
    sampling: Sampling
    models: Models
    machine: Machine
    progress: str | None = None
    """The stage whose rows are shown as they get done."""

    def __call__(self, group: Mapping[str, Contestant]) -> list[Said]:
        """What each model of a group says; rows that the row store holds are not computed again."""
        opener = Opener(self.models, self.machine, Store(), self.progress)
        local = opener.sharing({name: each for name, each in group.items() if not isinstance(each, Served)})
        with closing(opener):
            return [
                self._untested(name, opener.named(each.name))
                if isinstance(each, Served)
                else self._tested(name, local[name])
                for name, each in group.items()
            ]

    def _untested(self, name: str, engine: Engine) -> Said:
        return Said(name, engine.identity, asked_alone(engine, self.questions, self.sampling), None)

    def _tested(self, name: str, engine: Engine) -> Said:
        said = self._untested(name, engine)
        chosen = pd.DataFrame(list(self.knowledge.ask(engine))).assign(model=name)
        return replace(said, knowledge=chosen[list(KNOWLEDGE.columns)])


def grouped(models: Mapping[str, Contestant], machine: Machine) -> list[dict[str, Contestant]]:
    """The models that one process asks: a model, or a base with its adapters, so that it is loaded once.

    All of these one after the other, where GPUs or other machines compute: a process more would be a model more in the same
    memory.
    """
    found: dict[Hashable, dict[str, Contestant]] = {}
    for name, each in models.items():
        found.setdefault(each if isinstance(each, Served) else shared(*each), {})[name] = each
    local = [each for each in models.values() if not isinstance(each, Served)]
    if machine.ray or machine.transformers.device != "cpu" or any(model.engine == "vllm" for _, model in local):
        return [{name: each for group in found.values() for name, each in group.items()}]
    return list(found.values())


def ask_models(models: Mapping[str, Contestant], asking: Asking) -> list[Said]:
    """What each of ``models`` says, in their order; the machine's ``workers`` share out what ``grouped`` leaves apart.

    Raises:
        UserError: when a process is ended from outside, as the kernel does where memory runs out.
    """
    groups = grouped(models, asking.machine)
    if len(groups) == 1:
        asking = replace(asking, progress="eval")
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    context, workers = multiprocessing.get_context("spawn"), min(asking.machine.workers, len(groups))
    said: dict[str, Said] = {}
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
    fluency: FluencyScorer


def score_all(questions: pd.DataFrame, said: Sequence[Said], scoring: Scoring) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scored answers of all models, as ``score_answers`` gives them, and their choices (``records.KNOWLEDGE``)."""
    answered = pd.concat([questions.assign(model=each.model, answer=each.answers) for each in said], ignore_index=True)
    chosen = pd.concat([each.knowledge for each in said if each.knowledge is not None])
    return score_answers(answered, scoring), chosen


def score_answers(answered: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """``answered`` with verdict, language and fluency of each answer, the columns of ``records.ANSWER``.

    The answers of all models together: a judge that takes a GPU is loaded once and asked in one batch.
    """
    langs, questions, answers = (list(answered[column]) for column in ("lang", "text", "answer"))
    decisions = scoring.panel.decide(list(map(Exchange, langs, questions, answers)))
    identified = [scoring.identifier.identify(answer) for answer in answers]
    worded = list(map(Exchange, [each.restricted for each in identified], questions, answers))
    return answered.assign(
        harm=[decision.verdict.harm.value for decision in decisions],
        reply=[decision.verdict.reply.value for decision in decisions],
        agreed=[decision.agreed for decision in decisions],
        lang_restricted=[each.restricted for each in identified],
        lang_free=[each.free for each in identified],
        fluency=scoring.fluency.scores(worded),
    )
