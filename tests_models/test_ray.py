"""Two workers of a Ray cluster on this machine, each with its own model in vLLM, say what transformers says."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from reference import LENGTH, Reference

from refuseu.core.errors import UserError
from refuseu.engines.protocol import Completion, Conversation, Finish, Sampling, completed, user
from refuseu.engines.ray import RayEngine
from refuseu.engines.vllm import VllmEngine
from refuseu.engines.vllm_worker import VllmSettings


@pytest.fixture(scope="module")
def cluster(folder: Path, adapters: tuple[Path, Path]) -> Iterator[RayEngine]:
    settings = VllmSettings(folder, "float32", max_model_len=LENGTH, adapters=adapters, eager=True)
    load = partial(VllmEngine, settings, "smollm2")
    engine = RayEngine(load, "smollm2", workers=2, batch_size=2)
    yield engine
    engine.close()


def test_answers_of_two_workers_are_those_of_one_process(
    cluster: RayEngine, conversations: list[Conversation], answers: list[str]
) -> None:
    done = dict(cluster.complete([*conversations, user("bread " * LENGTH)], Sampling(24)))
    assert [done[position].text for position in range(len(answers))] == answers
    assert done[len(answers)] == Completion("", Finish.TOO_LONG)


def test_adapters_on_two_workers_answer_as_in_peft_and_leave_the_base_as_it_was(
    cluster: RayEngine, folder: Path, adapters: tuple[Path, Path], conversations: list[Conversation], answers: list[str]
) -> None:
    asked = conversations[:4]  # two batches, so that both workers are asked
    for adapter in adapters:
        view = cluster.adapted(adapter, adapter.name)
        reference = Reference(folder, adapter)
        expected = [reference.answer(conversation, 24) for conversation in asked]
        assert [each.text for each in completed(view, asked, Sampling(24))] == expected != answers[:4]
        scores = dict(view.log_likelihoods([(conversation, "Paris.") for conversation in asked]))
        assert [scores[position] for position in range(4)] == pytest.approx(
            [reference.log_likelihood(conversation, "Paris.") for conversation in asked], rel=1e-4
        )
    assert [each.text for each in completed(cluster, asked, Sampling(24))] == answers[:4]


def test_log_likelihoods(cluster: RayEngine, reference: Reference, conversations: list[Conversation]) -> None:
    done = dict(cluster.log_likelihoods([(conversation, "Paris.") for conversation in conversations]))
    expected = [reference.log_likelihood(conversation, "Paris.") for conversation in conversations]
    assert [done[position] for position in range(len(expected))] == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be_asked_is_named_after_all_others_were_answered(
    cluster: RayEngine, conversations: list[Conversation]
) -> None:
    done = []
    with pytest.raises(UserError, match="cannot be asked"):
        for position, _ in cluster.complete([[{"role": "user"}], *conversations], Sampling(1)):
            done.append(position)
    assert sorted(done) == list(range(1, len(conversations) + 1))


def test_more_workers_than_the_cluster_has_room_for_are_an_error(cluster: RayEngine, folder: Path) -> None:
    load = partial(VllmEngine, VllmSettings(folder, "float32"), "smollm2")
    with pytest.raises(UserError, match="2 workers take 198 GPUs, and the cluster has 0"):
        RayEngine(load, "smollm2", workers=2, batch_size=2, gpus_per_worker=99)
