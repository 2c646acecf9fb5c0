"""An engine on every worker of a Ray cluster: one machine's cores or GPUs, or many machines'."""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from refuseu.core.errors import UserError
from refuseu.engines.machine import RayMachine, missing_ray
from refuseu.llm.protocol import Completion, Failed, Finish, LoadedEngine, Prompt, Sampling
from refuseu.llm.worker_process import UselessError

Outcome = TypeVar("Outcome")
Batch = list[tuple[int, Any]]
"""Rows with their positions."""
Adapter = tuple[Path, str]
"""Its folder, and the identity of the model with it."""

RETRIES = 3
"""Times that a batch is asked again after its worker was lost."""
LOST = f"the worker that computed it was lost {RETRIES + 1} times"
"""Why the rows of a batch fail; the cause stands behind it."""
PATIENCE = 2
"""Batches in a row that are lost with their workers before the cluster is given up: it has other troubles than a row."""


class RayEngine:
    """Shares rows out among workers that each load the model once and keep it; a worker that is lost is started anew.

    Answers are those of one engine: each row carries its position, and its draw follows from the row itself.
    """

    def __init__(self, load: Callable[[], LoadedEngine], identity: str, settings: RayMachine) -> None:
        """``load`` opens the engine of one worker; it is pickled, and what it reads must lie at the same place on all machines.

        Where the settings have no address, a cluster is started on this machine, and ended by ``close``.

        Raises:
            UserError: when Ray is not installed, nothing answers at the address, the cluster is too small, or ``load`` cannot.
        """
        for sentence in missing_ray():
            raise UserError(sentence)
        self.identity = identity
        self._adapter: Adapter | None = None
        self._batch_size = settings.batch_size
        self._workers: list[Any] = []
        self._joined = _join(settings.address)
        if self._joined:
            _guests.add(id(self))
        try:
            self._start(load, settings)
        except UserError:
            self.close()
            raise

    def adapted(self, folder: Path, identity: str) -> Self:
        """``folder`` must lie at the same place on all machines."""
        view = copy(self)
        view.identity, view._adapter = identity, (folder.absolute(), identity)
        return view

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        return self._asked("complete", prompts, lambda why: Completion("", Finish.FAILED, reason=why), sampling)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float | Failed]]:
        return self._asked("log_likelihoods", pairs, Failed)

    def close(self) -> None:
        """Ends the workers; the last of this process's engines leaves the cluster that the first of them joined."""
        import ray

        for worker in self._workers:
            ray.kill(worker)
        _guests.discard(id(self))
        if self._joined and not _guests:
            ray.shutdown()

    def _start(self, load: Callable[[], LoadedEngine], settings: RayMachine) -> None:
        import ray

        cpus, gpus = settings.cpus_per_worker, settings.gpus_per_worker
        _assert_room(settings.workers, {"CPU": cpus, "GPU": gpus})
        start = ray.remote(max_restarts=-1, max_task_retries=RETRIES, num_cpus=cpus, num_gpus=gpus)(Worker).remote
        self._workers = [start(load) for _ in range(settings.workers)]
        try:
            faults = [fault for fault in ray.get([worker.fault.remote() for worker in self._workers]) if fault]
        except _losses() as error:
            raise _given_up("while it loaded the model", _cause(error), "take fewer workers") from None
        if faults:
            raise UserError(faults[0])

    def _asked(
        self, method: str, rows: Sequence[object], lost: Callable[[str], Outcome], *options: object
    ) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of all rows by an engine's ``method``; ``lost`` makes those of a batch that is lost with its worker.

        Raises:
            UserError: after all batches, with what one of them broke off with; for ``PATIENCE`` lost ones in a row at once.
        """
        import ray

        numbered = list(enumerate(rows))
        size = _share(len(rows), len(self._workers), self._batch_size)
        batches = iter([numbered[start : start + size] for start in range(0, len(rows), size)])
        running: dict[Any, tuple[Any, Batch]] = {}
        errors, losses = set(), 0
        useless: Counter[int] = Counter()

        def ask(worker: Any, batch: Batch) -> None:
            running[worker.ask.remote(method, self._adapter, batch, *options)] = (worker, batch)

        for worker, batch in zip(self._workers, islice(batches, len(self._workers)), strict=False):
            ask(worker, batch)
        while running:
            (answer, *_), _ = ray.wait(list(running))
            worker, batch = running.pop(answer)
            try:
                done, error, cause = ray.get(answer)
            except _losses() as loss:
                done, error, cause = [], "", _cause(loss)
            else:
                # Ray counts the workers that end; one that cannot answer ends with the next call, and is counted here.
                useless[batch[0][0]] += bool(cause)
                if cause and useless[batch[0][0]] <= RETRIES:
                    ask(worker, batch)
                    continue
            losses = losses + 1 if cause else 0
            yield from ((position, lost(f"{LOST} ({cause})")) for position, _ in batch) if cause else done
            errors |= {error} if error else set()
            if losses == PATIENCE:
                raise _given_up("with the same batch", cause, "lower the batch size")
            for following in islice(batches, 1):
                ask(worker, following)
        if errors:
            raise UserError("; ".join(sorted(errors)))


class Worker:
    """Holds an engine in a process of the cluster."""

    def __init__(self, load: Callable[[], LoadedEngine]) -> None:
        self._load = load
        self._useless = False

    def fault(self) -> str:
        """The sentence of the user error that loading ended in, if any; answers when the engine is loaded."""
        try:
            self._engine  # noqa: B018
        except UserError as error:
            return error.message
        return ""

    def ask(self, method: str, adapter: Adapter | None, rows: Batch, *options: object) -> tuple[Batch, str, str]:
        """What the engine's ``method`` makes of the rows, the sentence of the user error it ended in, if any, and the sentence
        of the one after which the engine is of no use: then no row counts, and the next call ends this process, so that Ray
        starts another and asks it the same.
        """
        if self._useless:
            os._exit(1)
        done: Batch = []
        try:
            engine = self._engine.adapted(*adapter) if adapter else self._engine
            for index, outcome in getattr(engine, method)([row for _, row in rows], *options):
                done.append((rows[index][0], outcome))
        except UselessError as error:
            self._useless = True
            return [], "", error.message
        except UserError as error:
            return done, error.message, ""
        return done, "", ""

    @cached_property
    def _engine(self) -> LoadedEngine:
        """Loaded by a call, whose retries are counted: a constructor runs again with every restart, without end."""
        return self._load()


def _losses() -> tuple[type[Exception], ...]:
    """What Ray raises for a worker that no retry helped."""
    from ray.exceptions import OutOfMemoryError, RayActorError

    return OutOfMemoryError, RayActorError


def _cause(loss: Exception) -> str:
    """Ray's own words, short, and without what names the process alone, as the lines that it indents do."""
    lines = [line for line in str(loss).splitlines() if not line.startswith("\t")]
    return re.sub(r"([Nn]ode I[Dd]: )?[0-9a-f]{20,} ?", "", " ".join(" ".join(lines).split()))[:400].rstrip(" .;")


def _given_up(when: str, cause: str, way_out: str) -> UserError:
    return UserError(
        f"Ray: a worker was lost {RETRIES + 1} times {when} ({cause}); most likely for want of memory: {way_out} in machines/"
    )


def _share(rows: int, workers: int, most: int) -> int:
    """The rows of a batch: ``most`` at most, and fewer where a worker would have none, or one batch less than the others."""
    rounds = math.ceil(rows / (workers * most))
    return math.ceil(rows / (workers * rounds)) if rows else 1


_guests: set[int] = set()
"""The engines (by ``id``) in the cluster that the first of them joined: a process is in one at a time."""


def _join(address: str | None) -> bool:
    """Whether an engine, this or an earlier one, had to join it, and so has to leave it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():
        return bool(_guests)
    try:
        options = {"address": address} if address else {"address": "local", "include_dashboard": False}
        ray.init(**options, log_to_driver=False, logging_level="error")
    except ConnectionError as error:
        raise UserError(
            f"Ray: no cluster answers at {address} ({error}); '.venv/bin/ray start --head' starts one"
        ) from None
    except Exception as error:
        # Of no class of its own where Ray's processes take longer than it waits, as on a busy machine.
        raise UserError(f"Ray: does not start ({error}); try again when the machine has less to do") from None
    return True


def _assert_room(workers: int, each: dict[str, int]) -> None:
    import ray

    found = ray.cluster_resources()
    for resource, wanted in each.items():
        if found.get(resource, 0) < workers * wanted:
            raise UserError(
                f"Ray: {workers} workers take {workers * wanted} {resource}s, and the cluster has {found.get(resource, 0):g}; "
                "ask for fewer workers in machines/, or add machines"
            )
