"""What the engines of a process do with the cluster that they are in; Ray itself is played."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from scripted import Scripted

from refuseu.core.errors import UserError
from refuseu.engines.machine import RayMachine
from refuseu.engines.ray import RayEngine, Worker
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling, user


class LostError(Exception):
    """What Ray raises for a worker that it could not keep alive."""


class PlayedRay(ModuleType):
    """A cluster of one process: a call is done at once."""

    def __init__(self, initialized: bool) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.initialized = initialized
        self.killed: list[Any] = []
        self.loses = False
        self.late = False

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **options: Any) -> None:
        if self.late:
            raise Exception("The current node timed out during startup.")
        self.initialized = True

    def shutdown(self) -> None:
        self.initialized = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0, "GPU": 0.0}

    def remote(self, **options: Any) -> Any:
        def actor(load: Any) -> Any:
            return SimpleNamespace(
                fault=SimpleNamespace(remote=lambda: ""),
                ask=SimpleNamespace(remote=lambda *asked: partial(Worker(load).ask, *asked)),
            )

        return lambda kind: SimpleNamespace(remote=actor)

    def wait(self, answers: list[Any]) -> tuple[list[Any], list[Any]]:
        return answers[:1], answers[1:]

    def get(self, answer: Any) -> Any:
        if self.loses:
            raise LostError("ActorDiedError: a worker died unexpectedly")
        return answer() if callable(answer) else answer

    def kill(self, worker: Any) -> None:
        self.killed.append(worker)


def played(monkeypatch: pytest.MonkeyPatch, initialized: bool) -> PlayedRay:
    ray, exceptions = PlayedRay(initialized), ModuleType("ray.exceptions")
    vars(exceptions).update(RayActorError=LostError, OutOfMemoryError=LostError)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    return ray


class Choosy:
    """Fails at "no", breaks off where it is told to, and takes its worker along at "lose"."""

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        texts = [prompt[0]["content"] for prompt in prompts if not isinstance(prompt, str)]
        if "lose" in texts:
            raise LostError
        if "break off" in texts:
            raise UserError("not enough memory")
        for position, text in enumerate(texts):
            yield position, Completion("", Finish.FAILED, reason="why") if text == "no" else Completion(text)


SETTINGS = RayMachine(workers=1, batch_size=2, cpus_per_worker=1, gpus_per_worker=0)
LOST = Completion(
    "",
    Finish.FAILED,
    reason="the worker that computed it was lost 4 times, most likely for want of memory",
)


def engine(load: Any = lambda: pytest.fail("the worker is played")) -> RayEngine:
    return RayEngine(load, "a model", SETTINGS)


def asked(texts: list[str]) -> tuple[dict[int, Completion], str]:
    """What is yielded, and the error at the end."""
    done: dict[int, Completion] = {}
    try:
        done.update(engine(Choosy).complete([*map(user, texts)], Sampling(6)))
    except UserError as error:
        return done, error.message
    return done, ""


def test_the_cluster_is_left_with_the_last_engine_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = played(monkeypatch, initialized=False)
    first, second = engine(), engine()
    first.close()
    assert (len(ray.killed), ray.initialized) == (1, True)
    third = engine()
    second.close()
    third.close()
    assert (len(ray.killed), ray.initialized) == (3, False)


def test_a_cluster_that_others_joined_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = played(monkeypatch, initialized=True)
    engine().close()
    assert (len(ray.killed), ray.initialized) == (1, True)


def test_rows_fail_by_themselves_and_an_engine_that_breaks_off_is_told_after_all_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played(monkeypatch, initialized=True)
    done, error = asked(["a", "no", "b", "no", "break off", "x", "break off", "x", "c"])
    failed = Completion("", Finish.FAILED, reason="why")
    assert done == {0: Completion("a"), 1: failed, 2: Completion("b"), 3: failed, 8: Completion("c")}
    assert error == "not enough memory"


def test_a_batch_that_is_lost_with_its_worker_fails_and_two_in_a_row_stop_all(monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, initialized=True)
    done, error = asked(["a", "lose", "b", "c", "d", "lose", "e"])
    assert done == {0: LOST, 1: LOST, 2: Completion("b"), 3: Completion("c"), 4: LOST, 5: LOST, 6: Completion("e")}
    assert error == ""
    done, error = asked(["a", "b", "lose", "c", "lose", "d", "e"])
    assert done == {0: Completion("a"), 1: Completion("b"), **dict.fromkeys(range(2, 6), LOST)}
    assert error == (
        "Ray: a worker was lost 4 times with the same batch, most likely for want of memory; lower the batch size in machines/"
    )


def test_scores_of_a_lost_batch_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loses(Choosy):
        def log_likelihoods(self, pairs: Sequence[Any]) -> Iterator[tuple[int, float]]:
            raise LostError

    played(monkeypatch, initialized=True)
    assert dict(engine(Loses).log_likelihoods([(user("a"), "b")])) == {0: Failed(LOST.reason)}


def test_a_ray_that_does_not_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, initialized=False).late = True
    with pytest.raises(UserError) as error:
        engine()
    assert error.value.message == (
        "Ray: does not start (The current node timed out during startup.); try again when the machine has less to do"
    )


def test_a_worker_that_is_lost_while_it_loads_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = played(monkeypatch, initialized=False)
    ray.loses = True
    with pytest.raises(UserError) as error:
        engine()
    assert error.value.message == (
        "Ray: a worker was lost 4 times while it loaded the model, most likely for want of memory; take fewer workers in "
        "machines/"
    )
    assert (len(ray.killed), ray.initialized) == (1, False)


def test_a_worker_loads_once_and_with_its_first_call() -> None:
    loads: list[Scripted] = []

    def load() -> Any:
        loads.append(Scripted(lambda text, _: text))
        return loads[-1]

    worker = Worker(load)
    assert loads == []
    assert worker.fault() == ""
    assert worker.ask("complete", None, [(7, user("one"))], Sampling(2)) == ([(7, Completion("one"))], "")
    assert len(loads) == 1


def test_a_worker_that_cannot_load_again_tells_it_with_its_batch() -> None:
    def load() -> Any:
        raise UserError("models/base: gone")

    worker, expected = Worker(load), ([], "models/base: gone")
    assert worker.fault() == "models/base: gone"
    assert worker.ask("complete", None, [(7, user("one"))], Sampling(2)) == expected
    assert worker.ask("log_likelihoods", None, [(7, (user("one"), "two"))]) == expected
