import socket
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from repository import ROOT

from refuseu import join
from refuseu.dpo import nodes


@pytest.fixture(autouse=True)
def in_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository's root on a machine of several nodes, with the token elsewhere and a port that is free."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("REFUSEU_MACHINE", "h100x8-nodes")
    monkeypatch.setattr(nodes, "RETRY", 0.05)
    with socket.create_server(("", 0)) as server:
        monkeypatch.setenv(nodes.PORT, str(server.getsockname()[1]))


def test_a_node_waits_until_the_first_says_that_the_run_is_over() -> None:
    waiting = threading.Thread(target=nodes.follow, args=("127.0.0.1",))
    waiting.start()
    ended = CliRunner().invoke(join.main, ["--end"])
    assert ended.exit_code == 0, ended.output
    waiting.join(20)
    assert not waiting.is_alive()


@pytest.mark.parametrize(
    ("machine", "first", "said"),
    [
        ("h100x8-nodes", "", "REFUSEU_FIRST_NODE must name the first node, as in: REFUSEU_FIRST_NODE=node1 make join"),
        ("cpu", "node1", "training.nodes in machines/ is 1, so nobody is waited for"),
        ("h100x8-nodes", "no.such.node.invalid", "REFUSEU_FIRST_NODE: no.such.node.invalid is not known here"),
    ],
)
def test_where_nobody_can_be_waited_for_a_sentence_says_so(
    machine: str, first: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", machine)
    monkeypatch.setenv(nodes.ADDRESS, first)
    done = CliRunner().invoke(join.main)
    assert done.exit_code == 1
    assert said in done.output


def test_another_folder_than_the_first_nodes_is_one_sentence() -> None:
    with socket.create_server(("", nodes.port())):
        done = CliRunner().invoke(join.main, env={nodes.ADDRESS: "127.0.0.1"})
    assert done.exit_code == 1
    assert "do not share a token" in done.output and "on a disk that all nodes share" in done.output
