"""An engine on every worker of a Ray cluster: one machine's cores or GPUs, or many machines'."""

import os
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from refuseu.core.errors import UserError
from refuseu.engines.machine import RayMachine, missing_ray
from refuseu.llm.protocol import Completion, Failed, Finish, LoadedEngine, Prompt, Sampling

Outcome = TypeVar("Outcome")
Batch = list[tuple[int, Any]]
"""Rows with their positions."""
Adapter = tuple[Path, str]
"""Its folder, and the identity of the model with it."""

RETRIES = 3
"""Times that a batch is asked again after its worker was lost."""
LOST = f"the worker that computed it was lost {RETRIES + 1} times, most likely for want of memory"
"""Why the rows of a batch fail."""
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
        return self._asked("complete", prompts, Completion("", Finish.FAILED, reason=LOST), sampling)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float | Failed]]:
        return self._asked("log_likelihoods", pairs, Failed(LOST))

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
        except _losses():
            raise _given_up("while it loaded the model", "take fewer workers") from None
        if faults:
            raise UserError(faults[0])

    def _asked(
        self, method: str, rows: Sequence[object], lost: Outcome, *options: object
    ) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of all rows by an engine's ``method``; those of a batch that is lost with its worker are ``lost``.

        Raises:
            UserError: after all batches, with what one of them broke off with; for ``PATIENCE`` lost ones in a row at once.
        """
        import ray

        numbered = list(enumerate(rows))
        batches = iter([numbered[start : start + self._batch_size] for start in range(0, len(rows), self._batch_size)])
        running: dict[Any, tuple[Any, Batch]] = {}
        errors, losses = set(), 0

        def ask(worker: Any) -> None:
            for batch in islice(batches, 1):
                running[worker.ask.remote(method, self._adapter, batch, *options)] = (worker, batch)

        for worker in self._workers:
            ask(worker)
        while running:
            (answer, *_), _ = ray.wait(list(running))
            worker, batch = running.pop(answer)
            try:
                done, error = ray.get(answer)
            except _losses():
                done, error, losses = [(position, lost) for position, _ in batch], "", losses + 1
            else:
                losses = 0
            yield from done
            errors |= {error} if error else set()
            if losses == PATIENCE:
                raise _given_up("with the same batch", "lower the batch size")
            ask(worker)
        if errors:
            raise UserError("; ".join(sorted(errors)))


class Worker:
    """Holds an engine in a process of the cluster."""

    def __init__(self, load: Callable[[], LoadedEngine]) -> None:
        self._load = load

    def fault(self) -> str:
        """The sentence of the user error that loading ended in, if any; answers when the engine is loaded."""
        try:
            self._engine  # noqa: B018
        except UserError as error:
            return error.message
        return ""

    def ask(self, method: str, adapter: Adapter | None, rows: Batch, *options: object) -> tuple[Batch, str]:
        """What the engine's ``method`` makes of the rows, and the sentence of the user error it ended in, if any."""
        done: Batch = []
        try:
            engine = self._engine.adapted(*adapter) if adapter else self._engine
            for index, outcome in getattr(engine, method)([row for _, row in rows], *options):
                done.append((rows[index][0], outcome))
        except UserError as error:
            return done, error.message
        return done, ""

    @cached_property
    def _engine(self) -> LoadedEngine:
        """Loaded by a call, whose retries are counted: a constructor runs again with every restart, without end."""
        return self._load()


def _losses() -> tuple[type[Exception], ...]:
    """What Ray raises for a worker that no retry helped."""
    from ray.exceptions import OutOfMemoryError, RayActorError

    return OutOfMemoryError, RayActorError


def _given_up(when: str, way_out: str) -> UserError:
    return UserError(
        f"Ray: a worker was lost {RETRIES + 1} times {when}, most likely for want of memory; {way_out} in machines/"
    )


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
