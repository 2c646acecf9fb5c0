"""What the engines of a process do with the cluster that they are in; Ray itself is played."""

import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from scripted import Scripted

from refuseu.core.errors import UserError
from refuseu.engines.prompting import assert_asked
from refuseu.engines.protocol import Completion, Conversation, Sampling, user
from refuseu.engines.ray import RayEngine, Worker


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
                complete=SimpleNamespace(remote=lambda *asked: Worker(load).complete(*asked)),
            )

        return lambda kind: SimpleNamespace(remote=actor)

    def get(self, answers: list[str]) -> list[str]:
        if self.loses:
            raise LostError("ActorDiedError: a worker died unexpectedly")
        return answers

    def kill(self, worker: Any) -> None:
        self.killed.append(worker)


def played(monkeypatch: pytest.MonkeyPatch, initialized: bool) -> PlayedRay:
    ray, exceptions = PlayedRay(initialized), ModuleType("ray.exceptions")
    vars(exceptions).update(RayActorError=LostError, OutOfMemoryError=LostError)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    return ray


class Choosy:
    """Cannot be asked what holds "no", and breaks off where it is told to."""

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        texts = [conversation[0]["content"] for conversation in conversations]
        if "break off" in texts:
            raise UserError("not enough memory")
        yield from ((position, Completion(text)) for position, text in enumerate(texts) if text != "no")
        assert_asked("a model", [position for position, text in enumerate(texts) if text == "no"], "why")


def engine() -> RayEngine:
    return RayEngine(lambda: pytest.fail("the worker is played"), "a model", workers=1, batch_size=2)


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


def test_rows_that_cannot_be_asked_are_named_by_where_they_stand_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, initialized=True)
    pool = SimpleNamespace(map_unordered=lambda ask, batches: [ask(engine._workers[0], batch) for batch in batches])
    monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace(ActorPool=lambda workers: pool))
    texts = ["a", "no", "b", "no", "break off", "x", "break off", "x", "c"]
    engine = RayEngine(Choosy, "a model", workers=1, batch_size=2)
    done: list[tuple[int, str]] = []
    with pytest.raises(UserError) as error:
        for position, completion in engine.complete([*map(user, texts)], Sampling(6)):
            done.append((position, completion.text))
    assert done == [(0, "a"), (2, "b"), (8, "c")]
    assert error.value.message == (
        "a model: conversations 1 (from 0) cannot be asked: why; a model: conversations 3 (from 0) cannot be asked: why; "
        "not enough memory"
    )


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
    assert worker.complete(None, [(7, user("one"))], Sampling(2)) == ([(7, Completion("one"))], ())
    assert len(loads) == 1


def test_a_worker_that_cannot_load_again_tells_it_with_its_batch() -> None:
    def load() -> Any:
        raise UserError("models/base: gone")

    worker, expected = Worker(load), ([], ("models/base: gone",))
    assert worker.fault() == "models/base: gone"
    assert worker.complete(None, [(7, user("one"))], Sampling(2)) == expected
    assert worker.log_likelihoods(None, [(7, (user("one"), "two"))]) == expected
