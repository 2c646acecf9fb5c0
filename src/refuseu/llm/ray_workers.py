"""Processes of a Ray cluster that each hold an engine: one that is lost is replaced, and what it was asked is asked again."""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from refuseu.core.errors import UserError
from refuseu.llm.protocol import LoadedEngine
from refuseu.llm.worker_process import UselessError

Batch = list[tuple[int, Any]]
"""Rows, or outcomes, with their positions."""
Adapter = tuple[Path, str]
"""Its folder, and the identity of the model with it."""

RETRIES = 3
"""Times that a batch is asked again, or that loading is tried again, after a worker was lost. Ray itself tries nothing again."""
PAUSE = 30
"""Seconds after which the cluster is looked at again while no worker answers."""
ENDED = "its process was killed or crashed (the node's own log, dmesg, tells whether memory ran out)"
NODE = "its node, or the way to it, was lost"


class Answer(NamedTuple):
    """What became of a batch."""

    done: Batch
    error: str = ""
    """The sentence of the user error that the engine broke off with, if any."""
    cause: str = ""
    """Why the worker is lost, if it is; then no row counts."""


class Worker:
    """Holds an engine in a process of the cluster."""

    def __init__(self, load: Callable[[], LoadedEngine]) -> None:
        self._load = load

    def load(self) -> Answer:
        """What loading ended in, with nothing done."""
        return self._kept(lambda done: self._engine)

    def ask(self, method: str, adapter: Adapter | None, rows: Batch, *options: object) -> Answer:
        """What the engine's ``method`` makes of the rows."""

        def work(done: Batch) -> None:
            engine = self._engine.adapted(*adapter) if adapter else self._engine
            for index, outcome in getattr(engine, method)([row for _, row in rows], *options):
                done.append((rows[index][0], outcome))

        return self._kept(work)

    def _kept(self, work: Callable[[Batch], object]) -> Answer:
        done: Batch = []
        try:
            work(done)
        except UselessError as error:
            return Answer([], cause=error.message)
        except UserError as error:
            return Answer(done, error.message)
        return Answer(done)

    @cached_property
    def _engine(self) -> LoadedEngine:
        return self._load()


class Workers:
    """The workers that have loaded, and those that are loading. A lost one is replaced while the cluster has room for it, and
    the others go on meanwhile.
    """

    def __init__(self, load: Callable[[], LoadedEngine], number: int, cpus: int, gpus: int) -> None:
        """``load`` opens the engine of one of ``number`` processes, which take ``cpus`` and ``gpus`` each."""
        self._load = load
        self._number = number
        self._each = {"CPU": cpus, "GPU": gpus}
        self._ready: list[Any] = []
        self._loading: dict[Any, Any] = {}
        self._failures = 0
        self._fault = ""

    def start(self) -> None:
        """Starts all, and waits until they have loaded.

        Raises:
            UserError: when the cluster is too small, or one of them cannot load.
        """
        assert_room(self._number, self._each)
        for _ in range(self._number):
            self._begin()
        while self._loading:
            self._ended([])
        if len(self._ready) < self._number:
            raise UserError(self._fault)

    def answers(
        self, batches: Iterable[Batch], method: str, adapter: Adapter | None, *options: object
    ) -> Iterator[tuple[Batch, Answer]]:
        """Each batch once, with its answer, in any order; a cause is left only where the batch was lost ``RETRIES`` + 1 times.

        Raises:
            UserError: when no worker is left.
        """
        waiting, losses = deque(batches), Counter[int]()
        running: dict[Any, tuple[Any, Batch]] = {}
        while waiting or running:
            busy = [worker for worker, _ in running.values()]
            for worker in [each for each in self._ready if each not in busy][: len(waiting)]:
                batch = waiting.popleft()
                running[worker.ask.remote(method, adapter, batch, *options)] = worker, batch
            self._assert_some()
            for call in self._ended(running):
                worker, batch = running.pop(call)
                answer = _answer(call)
                if answer.cause:
                    self._replace(worker)
                    losses[batch[0][0]] += 1
                if answer.cause and losses[batch[0][0]] <= RETRIES:
                    waiting.appendleft(batch)
                else:
                    yield batch, answer

    def close(self) -> None:
        for worker in (*self._ready, *self._loading.values()):
            _end(worker)

    def _begin(self) -> None:
        import ray

        cpus, gpus = self._each.values()
        options = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=cpus, num_gpus=gpus)
        worker = options(Worker).remote(self._load)
        self._loading[worker.load.remote()] = worker

    def _ended(self, asked: Iterable[Any]) -> list[Any]:
        """The call among those ``asked`` that ended first, if one did; a worker that has loaded instead is ready afterwards."""
        import ray

        ended: list[Any]
        ended, _ = ray.wait([*asked, *self._loading], timeout=PAUSE)
        for call in ended:
            if call in self._loading:
                self._loaded(call, self._loading.pop(call))
                return []
        return ended

    def _loaded(self, call: Any, worker: Any) -> None:
        """Takes a worker in; one that was lost is replaced, unless the last ``RETRIES`` + 1 were, and a faulty one is not."""
        answer = _answer(call)
        if not (answer.cause or answer.error):
            self._failures = 0
            self._ready.append(worker)
            return
        _end(worker)
        self._fault = answer.error
        if answer.cause:
            self._fault = given_up("while it loaded the model", answer.cause, "take fewer workers").message
            self._failures += 1
            if self._failures <= RETRIES:
                self._begin()

    def _replace(self, worker: Any) -> None:
        """Once for each worker, though several calls to it may be lost."""
        if worker in self._ready:
            self._ready.remove(worker)
            _end(worker)
            self._begin()

    def _assert_some(self) -> None:
        if self._ready:
            return
        if not self._loading:
            raise UserError(self._fault)
        assert_room(1, self._each)


def _answer(call: Any) -> Answer:
    import ray

    try:
        answer: Answer = ray.get(call)
    except _losses() as loss:
        return Answer([], cause=_cause(loss))
    return answer


def _end(worker: Any) -> None:
    import ray

    ray.kill(worker)


def _losses() -> tuple[type[Exception], ...]:
    """What Ray raises for a worker that is lost, or whose answer was lost with the node that held it."""
    from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError

    return ObjectLostError, OutOfMemoryError, RayActorError


def _cause(loss: Exception) -> str:
    """A sentence of ours where Ray's words tell how the process ended, or else these words, short and without identifiers."""
    from ray.exceptions import ActorUnavailableError, ObjectLostError

    text = str(loss)
    if isinstance(loss, ActorUnavailableError | ObjectLostError) or "node has died" in text:
        return NODE
    if "worker process has died" in text:
        return ENDED
    lines = [line for line in text.splitlines() if not line.startswith("\t")]
    return re.sub(r"([Nn]ode I[Dd]: )?[0-9a-f]{20,} ?", "", " ".join(" ".join(lines).split()))[:400].rstrip(" .;")


def given_up(when: str, cause: str, way_out: str) -> UserError:
    return UserError(
        f"Ray: a worker was lost {RETRIES + 1} times {when} ({cause}); most likely for want of memory: {way_out} in machines/"
    )


def assert_room(workers: int, each: dict[str, int]) -> None:
    """
    Raises:
        UserError: when the cluster's nodes that are alive have less than ``workers`` take, with ``each`` of the resources.
    """
    import ray

    found = ray.cluster_resources()
    for resource, wanted in each.items():
        if found.get(resource, 0) < workers * wanted:
            raise UserError(
                f"Ray: {workers} workers take {workers * wanted} {resource}s, and the cluster has {found.get(resource, 0):g}; "
                "ask for fewer workers in machines/, or add machines"
            )
