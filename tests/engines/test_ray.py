"""What the engines of a process do with the cluster that they are in; Ray itself is played."""

import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from scripted import Scripted

from refuseu.core.errors import UserError
from refuseu.engines import ray as engines_ray
from refuseu.engines.machine import RayMachine
from refuseu.engines.ray import RayEngine, _share
from refuseu.llm import versions as llm_versions
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling, user
from refuseu.llm.ray_workers import Answer, Worker, _cause
from refuseu.llm.size import Spread
from refuseu.llm.worker_process import UselessError


class LostError(Exception):
    """What Ray raises for a worker that it could not keep alive."""


DIED = "\n".join(
    (
        "The actor died unexpectedly before finishing this task.",
        "\tclass_name: Worker",
        "\tactor_id: ff49e836b0bee24817c499bc01000000",
        "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
        "unexpectedly exits with a connection error code 2. End of file.",
    )
)
ENDED = "its process was killed or crashed (the node's own log, dmesg, tells whether memory ran out)"


class AwayError(LostError):
    """What Ray raises for a worker, or an answer of its, that does not answer any more."""


NAMES = ("RayActorError", "OutOfMemoryError")


class Call:
    """A call of a worker, done when it is asked for."""

    def __init__(self, method: Any, *asked: Any, ends: bool = True) -> None:
        self._method, self._asked, self.ends = method, asked, ends

    def done(self) -> Any:
        return self._method(*self._asked)


class PlayedRay(ModuleType):
    """A cluster of one process: a call is done at once."""

    def __init__(self, initialized: bool) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.initialized = initialized
        self.killed: list[Any] = []
        self.loses = False
        self.late = False
        self.started = 0
        self.room = 99
        """Workers after which no other one ever loads."""

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **options: Any) -> None:
        if self.late:
            raise Exception("The current node timed out during startup.")
        self.initialized = True

    def shutdown(self) -> None:
        self.initialized = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0 if self.started <= self.room else 0.0, "GPU": 0.0}

    def remote(self, **options: Any) -> Any:
        assert (options["max_restarts"], options["max_task_retries"]) == (0, 0)  # one count, which is ours

        def actor(load: Any) -> Any:
            worker = Worker(load)
            self.started += 1
            number = self.started
            return SimpleNamespace(
                load=SimpleNamespace(remote=lambda: Call(worker.load, ends=number <= self.room)),
                ask=SimpleNamespace(remote=lambda *asked: Call(worker.ask, *asked)),
            )

        return lambda kind: SimpleNamespace(remote=actor)

    def wait(self, answers: list[Any], timeout: int) -> tuple[list[Any], list[Any]]:
        ended = [each for each in answers if each.ends][:1]
        return ended, [each for each in answers if each not in ended]

    def get(self, answer: Any) -> Any:
        if self.loses:
            raise LostError(DIED)
        return answer.done()

    def kill(self, worker: Any) -> None:
        self.killed.append(worker)


def played(monkeypatch: pytest.MonkeyPatch, initialized: bool) -> PlayedRay:
    ray, exceptions = PlayedRay(initialized), ModuleType("ray.exceptions")
    vars(exceptions).update(dict.fromkeys(NAMES, LostError), ActorUnavailableError=AwayError, ObjectLostError=AwayError)
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


SETTINGS = RayMachine(workers=1, batch_size=2, cpus_per_worker=1)
ALONE = Spread(1, 0)
LOST = Completion(
    "",
    Finish.FAILED,
    reason=f"the worker that computed it was lost 4 times ({ENDED})",
)


def engine(load: Any = lambda: Scripted(lambda text, _: text)) -> RayEngine:
    return RayEngine(load, "a model", SETTINGS, ALONE)


def test_a_worker_with_another_version_than_the_process_that_asks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    vars(played(monkeypatch, initialized=True))["util"] = SimpleNamespace(get_node_ip_address=lambda: "10.0.0.2")
    versions = iter(["vllm-0.32.0", "torch-2.13.0", "vllm-0.31.0", "torch-2.13.0"])
    for module in (engines_ray, llm_versions):
        monkeypatch.setattr(module, "versioned", lambda package: next(versions))
    with pytest.raises(UserError) as error:
        RayEngine(lambda: pytest.fail("loaded"), "a model", SETTINGS, ALONE, ["vllm", "torch"])
    assert error.value.message == (
        "Ray: the node 10.0.0.2 has vllm-0.31.0 and not vllm-0.32.0 as the process that asks; install the same lock file on all "
        "nodes"
    )


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
        f"Ray: a worker was lost 4 times with the same batch ({ENDED}); most likely for want of memory: lower the batch size in "
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
        f"Ray: a worker was lost 4 times while it loaded the model ({ENDED}); most likely for want of memory: take fewer workers "
        "in machines/"
    )
    assert (ray.started, len(ray.killed), ray.initialized) == (4, 4, False)


NODE = "its node, or the way to it, was lost"


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (LostError(DIED), ENDED),
        (LostError("The actor is dead because its node has died. Node Id: 5db90e52c544730702486482ec06"), NODE),
        (AwayError("The actor ff49 is unavailable: RPC error: Socket closed rpc_code: 14."), NODE),
        (
            LostError("Task was killed due to the node running low on memory.\n\tpid: 7"),
            "Task was killed due to the node running low on memory",
        ),
    ],
)
def test_why_a_worker_was_lost_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, loss: Exception, said: str
) -> None:
    played(monkeypatch, initialized=True)
    assert _cause(loss) == said


@pytest.mark.parametrize(("workers", "rows"), [(2, 7), (1, 2)])
def test_where_a_lost_worker_finds_no_room_the_others_go_on_and_none_left_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, workers: int, rows: int
) -> None:
    ray = played(monkeypatch, initialized=True)
    monkeypatch.setattr(Mortal, "lives", 1)
    ray.room = workers
    texts = ["die", "a", "b", "c", "d", "e", "f"]
    running = RayEngine(Mortal, "a model", SETTINGS, Spread(workers, 0)).complete(
        [*map(user, texts[:rows])], Sampling(6)
    )
    if workers == 2:
        assert sorted(running) == [*enumerate(map(Completion, texts))]
        return
    with pytest.raises(UserError, match="1 workers take 1 CPUs, and the cluster has 0"):
        list(running)


def test_a_worker_loads_once_and_with_its_first_call() -> None:
    loads: list[Scripted] = []

    def load() -> Any:
        loads.append(Scripted(lambda text, _: text))
        return loads[-1]

    worker = Worker(load)
    assert loads == []
    assert worker.load() == Answer([])
    assert worker.ask("complete", None, [(7, user("one"))], Sampling(2)) == Answer([(7, Completion("one"))])
    assert len(loads) == 1


def test_a_worker_that_cannot_load_again_tells_it_with_its_batch() -> None:
    def load() -> Any:
        raise UserError("models/base: gone")

    worker, expected = Worker(load), Answer([], "models/base: gone")
    assert worker.load() == expected
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
    monkeypatch.setattr(Mortal, "lives", lives)
    texts = ["a", "b", "c", "die", "d", "e", "f"]
    done = list(engine(Mortal).complete([*map(user, texts)], Sampling(6)))
    assert sorted(done) == [*enumerate(map(Completion, texts))]
    assert ray.started == 1 + lives


def test_an_engine_whose_process_dies_each_time_fails_its_batch_alone_and_tells_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = played(monkeypatch, initialized=True)
    monkeypatch.setattr(Mortal, "lives", 4)
    done = dict(engine(Mortal).complete([*map(user, ["a", "die", "b", "c"])], Sampling(6)))
    reason = "the worker that computed it was lost 4 times (a model: the process that held it died)"
    failed = Completion("", Finish.FAILED, reason=reason)
    assert done == {0: failed, 1: failed, 2: Completion("b"), 3: Completion("c")}
    assert ray.started == 5
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
