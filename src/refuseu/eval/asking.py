"""Asks the models the test questions and lets them sit the test of knowledge, in as many processes as the machine allows."""

from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa

from refuseu.core.errors import UserError
from refuseu.core.progress import Progress
from refuseu.engines.machine import Machine
from refuseu.engines.registry import EngineFactory, Models, shared
from refuseu.eval.models import EvaluatedModel, Served
from refuseu.eval.preflight import try_out
from refuseu.eval.schemas import KNOWLEDGE
from refuseu.knowledge.factory import KnowledgeTest
from refuseu.llm.protocol import Completion, Engine, Sampling, completed, user
from refuseu.llm.worker_process import worker_pool
from refuseu.mixes import Seeded
from refuseu.store.rows import Store


@dataclass(frozen=True)
class ModelOutputs:
    """What one model answered."""

    model: Seeded
    identity: str
    """Everything that decides the answers: the weights, the engine, and the numbers that it computes in."""
    answers: list[Completion]
    """In the order of the questions."""
    knowledge: pd.DataFrame | None
    """Rows of ``schemas.KNOWLEDGE``; ``None`` for a model that cannot sit the test."""


@dataclass(frozen=True)
class GroupOutputs:
    """What the models of one group answered, and which rows of the store hold it."""

    models: list[ModelOutputs]
    rows: pa.Array
    """The keys of the rows, sorted."""


@dataclass(frozen=True)
class EvaluationRun:
    """What every model is asked, and on which machine. It is sent to the processes that ask."""

    questions: list[str]
    knowledge: KnowledgeTest | None
    """The test of knowledge, if the models shall sit one."""
    sampling: Sampling
    models: Models
    machine: Machine
    progress: str | None = None
    """The stage whose progress is shown row by row; nothing to show none."""

    def __call__(self, group: Mapping[Seeded, EvaluatedModel]) -> GroupOutputs:
        """The outputs of each model of a group; rows that the row store holds are not computed again."""
        store = Store()
        engines = EngineFactory(self.models, self.machine, store, self.progress)
        local = engines.sharing({name: each for name, each in group.items() if not isinstance(each, Served)})
        with closing(engines):
            outputs = [
                self._answers(name, engines.served(each.key, each.model))
                if isinstance(each, Served)
                else self._answers_and_knowledge(name, local[name])
                for name, each in group.items()
            ]
        return GroupOutputs(outputs, store.used_keys())

    def _answers(self, name: Seeded, engine: Engine) -> ModelOutputs:
        answers = completed(engine, list(map(user, self.questions)), self.sampling)
        return ModelOutputs(name, engine.identity, answers, None)

    def _answers_and_knowledge(self, name: Seeded, engine: Engine) -> ModelOutputs:
        outputs = self._answers(name, engine)
        if self.knowledge is None:
            return outputs
        choices = pd.DataFrame(list(self.knowledge.ask(engine))).assign(model=name.name, seed=name.seed)
        return replace(outputs, knowledge=choices[list(KNOWLEDGE.columns)])


def grouped(models: Mapping[Seeded, EvaluatedModel], machine: Machine) -> list[dict[Seeded, EvaluatedModel]]:
    """The models in groups that one process asks: a model, or a base with its adapters, so that the base is loaded once.

    Where GPUs or other machines compute, all models are one group, since a second process would put a second model into the
    same memory.
    """
    found: dict[Hashable, dict[Seeded, EvaluatedModel]] = {}
    for name, each in models.items():
        found.setdefault(each if isinstance(each, Served) else shared(*each), {})[name] = each
    local = [each for each in models.values() if not isinstance(each, Served)]
    if any(model.is_alone(machine) for _, model in local):
        return [{name: each for group in found.values() for name, each in group.items()}]
    return list(found.values())


def ask_models(models: Mapping[Seeded, EvaluatedModel], run: EvaluationRun, store: Store) -> list[ModelOutputs]:
    """The outputs of each of ``models``, in their order; the machine's ``workers`` share out the groups.

    What their processes used of the row store counts as used by ``store``.

    Raises:
        UserError: before any model is asked, for one that cannot be; and when a process is ended from outside, as
            the kernel does where memory runs out.
    """
    try_out(models, run.models, run.machine, store)
    groups = grouped(models, run.machine)
    if len(groups) == 1:
        run = replace(run, progress="eval")
    workers = min(run.machine.workers, len(groups))
    outputs: dict[Seeded, ModelOutputs] = {}
    with (
        _ended_processes_explained(workers),
        worker_pool(workers) as pool,
        Progress("eval", len(models), "model") as progress,
    ):
        for done in pool.map(run, groups):
            outputs |= {each.model: each for each in done.models}
            store.use(done.rows)
            progress.advance(len(done.models))
    return [outputs[name] for name in models]


@contextmanager
def _ended_processes_explained(workers: int) -> Iterator[None]:
    try:
        yield
    except (BrokenProcessPool, MemoryError):
        raise UserError(
            f"eval: one of the {workers} processes that ask the models was ended from outside or had no memory left; "
            "lower workers or transformers.batch_size in machines/ and start again, finished rows are kept"
        ) from None
