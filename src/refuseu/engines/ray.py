"""An engine on every worker of a Ray cluster: one machine's cores or GPUs, or many machines'."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TypeVar

from refuseu.core.errors import UserError
from refuseu.engines.protocol import Completion, Engine, LoadedEngine, Prompt, Sampling
from refuseu.engines.unasked import Piece, UnaskedError

Item = TypeVar("Item")
Row = tuple[int, Any]
"""A position, and what was made of the row there."""
Adapter = tuple[Path, str]
"""Its folder, and the identity of the model with it."""
Sentence = tuple[Piece, ...]
"""Of an error; empty for none."""

RETRIES = 3
"""Times that a batch is asked again after its worker was lost."""


class RayEngine:
    """Shares rows out among workers that each load the model once and keep it; a worker that is lost is started anew.

    Answers are those of one engine: each row carries its position, and its draw follows from the row itself.
    """

    def __init__(
        self,
        load: Callable[[], LoadedEngine],
        identity: str,
        workers: int,
        batch_size: int,
        gpus_per_worker: int = 0,
        cpus_per_worker: int = 1,
        address: str | None = None,
    ) -> None:
        """``load`` opens the engine of one worker; it is pickled, and what it reads must lie at the same place on all machines.

        Without an ``address`` a cluster is started on this machine, and ended by ``close``.

        Raises:
            UserError: when Ray is not installed, nothing answers at ``address``, the cluster is too small, or ``load`` cannot.
        """
        assert_installed()
        self.identity = identity
        self._adapter: Adapter | None = None
        self._batch_size = batch_size
        self._workers: list[Any] = []
        self._joined = _join(address)
        if self._joined:
            _guests.add(id(self))
        try:
            _assert_room(workers, {"CPU": cpus_per_worker, "GPU": gpus_per_worker})
            self._start(load, workers, num_cpus=cpus_per_worker, num_gpus=gpus_per_worker)
        except UserError:
            self.close()
            raise

    def adapted(self, folder: Path, identity: str) -> Self:
        """``folder`` must lie at the same place on all machines."""
        view = copy(self)
        view.identity, view._adapter = identity, (folder.absolute(), identity)
        return view

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        adapter = self._adapter
        return self._asked(prompts, lambda worker, batch: worker.complete.remote(adapter, batch, sampling))

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, float]]:
        adapter = self._adapter
        return self._asked(pairs, lambda worker, batch: worker.log_likelihoods.remote(adapter, batch))

    def close(self) -> None:
        """Ends the workers; the last of this process's engines leaves the cluster that the first of them joined."""
        import ray

        for worker in self._workers:
            ray.kill(worker)
        _guests.discard(id(self))
        if self._joined and not _guests:
            ray.shutdown()

    def _start(self, load: Callable[[], LoadedEngine], workers: int, **resources: int) -> None:
        import ray

        start = ray.remote(max_restarts=-1, max_task_retries=RETRIES, **resources)(Worker).remote
        self._workers = [start(load) for _ in range(workers)]
        with _told("while it loaded the model", "take fewer workers"):
            faults = [fault for fault in ray.get([worker.fault.remote() for worker in self._workers]) if fault]
        if faults:
            raise UserError(faults[0])

    def _asked(self, rows: Sequence[Item], ask: Callable[[Any, list[tuple[int, Item]]], Any]) -> Iterator[Row]:
        from ray.util import ActorPool

        numbered = list(enumerate(rows))
        batches = [numbered[start : start + self._batch_size] for start in range(0, len(rows), self._batch_size)]
        errors: list[Sentence] = []
        with _told("with the same batch", "lower the batch size"):
            for done, error in ActorPool(self._workers).map_unordered(ask, batches):
                yield from done
                errors += [error] if error else []
        if errors:
            first, *others = sorted(set(errors), key=str)
            raise UnaskedError(*first, *(piece for other in others for piece in ("; ", *other)))


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

    def complete(
        self, adapter: Adapter | None, rows: list[tuple[int, Prompt]], sampling: Sampling
    ) -> tuple[list[Row], Sentence]:
        """What is done, and the sentence of the user error it ended in, if any."""
        return _collected(rows, lambda asked: self._adapted(adapter).complete(asked, sampling))

    def log_likelihoods(
        self, adapter: Adapter | None, rows: list[tuple[int, tuple[Prompt, str]]]
    ) -> tuple[list[Row], Sentence]:
        return _collected(rows, lambda asked: self._adapted(adapter).log_likelihoods(asked))

    @cached_property
    def _engine(self) -> LoadedEngine:
        """Loaded by a call, whose retries are counted: a constructor runs again with every restart, without end."""
        return self._load()

    def _adapted(self, adapter: Adapter | None) -> Engine:
        return self._engine.adapted(*adapter) if adapter else self._engine


def assert_installed() -> None:
    """
    Raises:
        UserError: when Ray is not installed.
    """
    if find_spec("ray") is None:
        raise UserError(
            "the engine ray takes the package ray, which is not installed; "
            "'.venv/bin/uv pip install ray -c requirements-gpu.lock' brings it"
        )


def _collected(rows: list[tuple[int, Item]], ask: Callable[[list[Item]], Iterable[Row]]) -> tuple[list[Row], Sentence]:
    done: list[Row] = []
    try:
        for index, answer in ask([row for _, row in rows]):
            done.append((rows[index][0], answer))
    except UnaskedError as error:
        return done, error.at([position for position, _ in rows]).pieces
    except UserError as error:
        return done, (error.message,)
    return done, ()


@contextmanager
def _told(when: str, way_out: str) -> Iterator[None]:
    """Turns the loss of a worker that no retry helped into a sentence."""
    from ray.exceptions import OutOfMemoryError, RayActorError

    try:
        yield
    except (OutOfMemoryError, RayActorError):
        raise UserError(
            f"Ray: a worker was lost {RETRIES + 1} times {when}, most likely for want of memory; {way_out} in machines/"
        ) from None


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
