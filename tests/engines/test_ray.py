"""What the engines of a process do with the cluster that they are in; Ray itself is played."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from refuseu.engines.ray import RayEngine


class PlayedRay(ModuleType):
    """A cluster of one process: a call is done at once."""

    def __init__(self, initialized: bool) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.initialized = initialized
        self.killed: list[Any] = []

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **options: Any) -> None:
        self.initialized = True

    def shutdown(self) -> None:
        self.initialized = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0, "GPU": 0.0}

    def remote(self, **options: Any) -> Any:
        def actor(load: Any) -> Any:
            return SimpleNamespace(fault=SimpleNamespace(remote=lambda: ""))

        return lambda kind: SimpleNamespace(remote=actor)

    def get(self, answers: list[str]) -> list[str]:
        return answers

    def kill(self, worker: Any) -> None:
        self.killed.append(worker)


def played(monkeypatch: pytest.MonkeyPatch, initialized: bool) -> PlayedRay:
    ray = PlayedRay(initialized)
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


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
