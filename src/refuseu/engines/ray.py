"""An engine on every worker of a Ray cluster: one machine's cores or GPUs, or many machines'."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from refuseu.core.errors import UserError
from refuseu.engines.machine import RayMachine, missing_ray
from refuseu.llm.protocol import Completion, Failed, Finish, LoadedEngine, Prompt, Sampling
from refuseu.llm.ray_workers import RETRIES, Adapter, Batch, Workers, given_up
from refuseu.llm.size import Spread
from refuseu.llm.versions import load_alike, versioned

Outcome = TypeVar("Outcome")
LOST = f"the worker that computed it was lost {RETRIES + 1} times"
"""Why the rows of a batch fail; the cause stands behind it."""
PATIENCE = 2
"""Batches in a row that are lost with their workers before the cluster is given up: it has other troubles than a row."""


class RayEngine:
    """Shares rows out among workers that each load the model once and keep it.

    Answers are those of one engine: each row carries its position, and its draw follows from the row itself.
    """

    def __init__(
        self,
        load: Callable[[], LoadedEngine],
        identity: str,
        settings: RayMachine,
        spread: Spread,
        packages: Iterable[str] = (),
    ) -> None:
        """``load`` opens the engine of one worker; it is pickled, and what it reads must lie at the same place on all machines.

        ``spread`` says how many workers there are, and what each takes. All must have the versions of ``packages`` that are here,
        which rows are kept under. Where the settings have no address, a cluster is started on this machine, and ended by
        ``close``.

        Raises:
            UserError: when Ray is not installed, nothing answers at the address, the cluster is too small, ``load`` cannot, or
                a worker has other versions.
        """
        for sentence in missing_ray():
            raise UserError(sentence)
        self.identity = identity
        self._adapter: Adapter | None = None
        self._batch_size = settings.batch_size
        self._number = spread.workers
        alike = partial(load_alike, load, {name: versioned(name) for name in packages})
        self._workers = Workers(alike, spread.workers, settings.cpus_per_worker, spread.gpus)
        self._joined = _join(settings.address)
        if self._joined:
            _guests.add(id(self))
        try:
            self._workers.start()
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

        self._workers.close()
        _guests.discard(id(self))
        if self._joined and not _guests:
            ray.shutdown()

    def _asked(
        self, method: str, rows: Sequence[object], lost: Callable[[str], Outcome], *options: object
    ) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of all rows by an engine's ``method``; ``lost`` makes those of a batch that is lost with its worker.

        Raises:
            UserError: after all batches, with what one of them broke off with; for ``PATIENCE`` lost ones in a row at once.
        """
        errors, losses = set(), 0
        for batch, answer in self._workers.answers(self._batches(rows), method, self._adapter, *options):
            yield from answer.done
            if answer.error:
                errors.add(answer.error)
            losses = losses + 1 if answer.cause else 0
            if answer.cause:
                yield from ((position, lost(f"{LOST} ({answer.cause})")) for position, _ in batch)
            if losses == PATIENCE:
                raise given_up("with the same batch", answer.cause, "lower the batch size")
        if errors:
            raise UserError("; ".join(sorted(errors)))

    def _batches(self, rows: Sequence[object]) -> list[Batch]:
        numbered = list(enumerate(rows))
        size = _share(len(rows), self._number, self._batch_size)
        return [numbered[start : start + size] for start in range(0, len(rows), size)]


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
