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
from refuseu.engines.ray import RayEngine, Worker, _share
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling, user
from refuseu.llm.worker_process import UselessError


class LostError(Exception):
    """What Ray raises for a worker that it could not keep alive."""


class EndedError(BaseException):
    """What stands for the end of a worker's process, after which Ray starts another and asks it the same."""


def ended(code: int) -> None:
    raise EndedError


DIED = "\n".join(
    (
        "The actor died unexpectedly before finishing this task.",
        "\tclass_name: Worker",
        "\tactor_id: ff49e836b0bee24817c499bc01000000",
        "The actor is dead because its node has died. Node Id: 5db90e52c544730702486482ec06015bd01d6e24bdd05f9ec9033276",
    )
)
SHORT = "The actor died unexpectedly before finishing this task. The actor is dead because its node has died"


class PlayedRay(ModuleType):
    """A cluster of one process: a call is done at once."""

    def __init__(self, initialized: bool) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.initialized = initialized
        self.killed: list[Any] = []
        self.loses = False
        self.late = False
        self.restarts = 0

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
            workers = [Worker(load)]

            def ask(*asked: Any) -> Any:
                try:
                    return workers[-1].ask(*asked)
                except EndedError:
                    self.restarts += 1
                    workers.append(Worker(load))
                    return ask(*asked)

            return SimpleNamespace(
                fault=SimpleNamespace(remote=lambda: ""),
                ask=SimpleNamespace(remote=lambda *asked: partial(ask, *asked)),
            )

        return lambda kind: SimpleNamespace(remote=actor)

    def wait(self, answers: list[Any]) -> tuple[list[Any], list[Any]]:
        return answers[:1], answers[1:]

    def get(self, answer: Any) -> Any:
        if self.loses:
            raise LostError(DIED)
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
            raise LostError(DIED)
        if "break off" in texts:
            raise UserError("not enough memory")
        for position, text in enumerate(texts):
            yield position, Completion("", Finish.FAILED, reason="why") if text == "no" else Completion(text)


SETTINGS = RayMachine(workers=1, batch_size=2, cpus_per_worker=1, gpus_per_worker=0)
LOST = Completion(
    "",
    Finish.FAILED,
    reason=f"the worker that computed it was lost 4 times ({SHORT})",
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
        f"Ray: a worker was lost 4 times with the same batch ({SHORT}); most likely for want of memory: lower the batch size in "
        "machines/"
    )


def test_scores_of_a_lost_batch_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loses(Choosy):
        def log_likelihoods(self, pairs: Sequence[Any]) -> Iterator[tuple[int, float]]:
            raise LostError(DIED)

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
        f"Ray: a worker was lost 4 times while it loaded the model ({SHORT}); most likely for want of memory: take fewer workers "
        "in machines/"
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
    assert worker.ask("complete", None, [(7, user("one"))], Sampling(2)) == ([(7, Completion("one"))], "", "")
    assert len(loads) == 1


def test_a_worker_that_cannot_load_again_tells_it_with_its_batch() -> None:
    def load() -> Any:
        raise UserError("models/base: gone")

    worker, expected = Worker(load), ([], "models/base: gone", "")
    assert worker.fault() == "models/base: gone"
    assert worker.ask("complete", None, [(7, user("one"))], Sampling(2)) == expected
    assert worker.ask("log_likelihoods", None, [(7, (user("one"), "two"))]) == expected


class Mortal:
    """Its process dies at "die" while there are lives, and it answers nothing from then on."""

    lives = 0

    def __init__(self) -> None:
        self._dead = False

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            text = prompt if isinstance(prompt, str) else prompt[0]["content"]
            if text == "die" and Mortal.lives:
                Mortal.lives -= 1
                self._dead = True
            if self._dead:
                raise UselessError("a model: the process that held it died")
            yield position, Completion(text)


@pytest.mark.parametrize("lives", [1, 3])
def test_an_engine_whose_process_died_ends_its_worker_and_the_batch_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, lives: int
) -> None:
    ray = played(monkeypatch, initialized=True)
    monkeypatch.setattr("os._exit", ended)
    monkeypatch.setattr(Mortal, "lives", lives)
    texts = ["a", "b", "c", "die", "d", "e", "f"]
    done = list(engine(Mortal).complete([*map(user, texts)], Sampling(6)))
    assert sorted(done) == [*enumerate(map(Completion, texts))]
    assert ray.restarts == lives


def test_an_engine_whose_process_dies_each_time_fails_its_batch_alone_and_tells_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = played(monkeypatch, initialized=True)
    monkeypatch.setattr("os._exit", ended)
    monkeypatch.setattr(Mortal, "lives", 4)
    done = dict(engine(Mortal).complete([*map(user, ["a", "die", "b", "c"])], Sampling(6)))
    reason = "the worker that computed it was lost 4 times (a model: the process that held it died)"
    failed = Completion("", Finish.FAILED, reason=reason)
    assert done == {0: failed, 1: failed, 2: Completion("b"), 3: Completion("c")}
    assert ray.restarts == 4
    monkeypatch.setattr(Mortal, "lives", 99)
    with pytest.raises(UserError) as error:
        list(engine(Mortal).complete([*map(user, ["die"] * 9)], Sampling(6)))
    assert error.value.message == (
        "Ray: a worker was lost 4 times with the same batch (a model: the process that held it died); most likely for want of "
        "memory: lower the batch size in machines/"
    )
    assert Mortal.lives == 91


@pytest.mark.parametrize(
    ("rows", "workers", "size"),
    [(0, 2, 1), (1, 2, 1), (100, 2, 50), (16384, 2, 8192), (16386, 2, 4097), (30000, 2, 7500)],
)
def test_few_rows_are_shared_out_evenly(rows: int, workers: int, size: int) -> None:
    assert _share(rows, workers, 8192) == size
