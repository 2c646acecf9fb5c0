"""A Ray of two nodes on this machine loses a process, or a node, while it answers: no row is lost and none comes twice."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from refuseu.core.errors import UserError
from refuseu.engines.machine import RayMachine
from refuseu.engines.ray import RayEngine
from refuseu.engines.transformers import TransformersEngine
from refuseu.llm.protocol import Conversation, Sampling
from refuseu.llm.size import Spread
from refuseu.weights.reference import ModelReference

DRAWN = Sampling(24, temperature=1.0)


@pytest.fixture(scope="module")
def tiny(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same architecture with few and random weights, and the real tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    out = tmp_path_factory.mktemp("models") / "tiny"
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, num_key_value_heads=3, head_dim=16, **sizes)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(out)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    return out


@pytest.fixture
def nodes() -> Iterator[Any]:
    """Two nodes with a core each, so that nothing of a lost one finds room on the other; the first is that of this process."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_with_another_version_than_the_process_that_asks_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.cluster_utils import Cluster

    (tmp_path / "transformers-0.0.1.dist-info").mkdir()
    (tmp_path / "transformers-0.0.1.dist-info/METADATA").write_text("Name: transformers\nVersion: 0.0.1\n")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    cluster.add_node(num_cpus=1)  # it has the environment of now
    settings = RayMachine(workers=2, batch_size=4, cpus_per_worker=1, address=cluster.address)
    load = partial(TransformersEngine, ModelReference(tiny), "tiny", 4)
    try:
        with pytest.raises(UserError, match=r"Ray: the node [\d.]+ has transformers-0\.0\.1 and not transformers-5"):
            RayEngine(load, "tiny", settings, Spread(2, 0), ["transformers", "torch"])
        RayEngine(load, "tiny", settings, Spread(1, 0), ["torch"]).close()
    finally:
        ray.shutdown()
        cluster.shutdown()


def raylet(nodes: Any) -> psutil.Process:
    """Of the second node."""
    (node,) = nodes.worker_nodes
    (found,) = node.all_processes["raylet"]
    return psutil.Process(found.process.pid)


def worker(nodes: Any) -> psutil.Process:
    """Of the second node."""
    (found,) = [each for each in raylet(nodes).children() if each.cmdline()[0].startswith("ray::Worker")]
    return found


def written(rows: Sequence[tuple[int, Any]]) -> bytes:
    """The file of a stage: the rows in their order, a line each."""
    return "".join(f"{json.dumps([position, row.text])}\n" for position, row in sorted(rows)).encode()


@pytest.mark.parametrize("victim", [worker, raylet])
def test_a_killed_process_costs_no_row(
    nodes: Any, tiny: Path, conversations: list[Conversation], victim: Callable[[Any], psutil.Process]
) -> None:
    settings = RayMachine(workers=2, batch_size=4, cpus_per_worker=1, address=nodes.address)
    engine = RayEngine(partial(TransformersEngine, ModelReference(tiny), "tiny", 4), "tiny", settings, Spread(2, 0))
    asked = conversations * 4
    undisturbed = list(engine.complete(asked, DRAWN))
    held = worker(nodes)
    held.send_signal(signal.SIGSTOP)  # so that its first batch is under way when it is killed
    running = iter(engine.complete(asked, DRAWN))
    rows = [next(running)]
    victim(nodes).kill()
    rows += running
    if held.is_running():
        held.kill()
    assert sorted(position for position, _ in rows) == list(range(len(asked)))
    assert written(rows) == written(undisturbed)
    assert len({row.text for _, row in rows}) > 1
    engine.close()
