import socket
import threading
import time
from multiprocessing import AuthenticationError, Pipe
from multiprocessing.connection import Client, Connection
from pathlib import Path

import pytest
from repository import ROOT
from tiny import ONE_CORE

from refuseu.core.errors import UserError
from refuseu.dpo import nodes
from refuseu.dpo.nodes import callers, facts, receive, start_training, tell, together, token_file

TWO = ONE_CORE.model_copy(update={"nodes": 2})
SCRIPT = Path("stages/dpo.py")


@pytest.fixture(autouse=True)
def in_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository's root, with the token elsewhere and a port that is free."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with socket.create_server(("", 0)) as server:
        monkeypatch.setenv(nodes.PORT, str(server.getsockname()[1]))


@pytest.fixture
def ends() -> tuple[Connection, Connection, Connection, Connection]:
    """The part of a node and where it speaks, and another node and where that speaks."""
    part, launcher = Pipe(duplex=False)
    other, its_end = Pipe()
    return part, launcher, other, its_end


def last(connection: Connection) -> dict[str, object]:
    """The last message but for signs of life."""
    said: dict[str, object] = {}
    while connection.poll(0):
        said = receive(connection) or said
    return said


def test_a_training_ends_when_all_parts_have_ended(ends: tuple[Connection, ...]) -> None:
    part, launcher, other, its_end = ends
    tell([launcher, its_end], {"done": True})
    together(part, {other: "node b"})
    assert last(its_end) == {"done": True}


def test_what_one_node_fails_of_is_told_all(ends: tuple[Connection, ...]) -> None:
    part, _, other, its_end = ends
    third, its_other_end = Pipe()
    tell([its_other_end], {"failed": "dpo@x: no"})
    with pytest.raises(UserError, match=r"^dpo@x: no$"):
        together(part, {other: "node b", third: "node c"})
    assert last(its_end) == {"failed": "dpo@x: no"}


def test_what_this_node_fails_of_is_told_the_others(ends: tuple[Connection, ...]) -> None:
    part, launcher, other, its_end = ends
    tell([launcher], {"failed": "dpo@x: no"})
    with pytest.raises(UserError, match=r"^dpo@x: no$"):
        together(part, {other: "node b"})
    assert last(its_end) == {"failed": "dpo@x: no"}


def test_a_node_that_is_gone_and_one_that_is_silent_are_lost(
    ends: tuple[Connection, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    part, _, other, its_end = ends
    monkeypatch.setattr(nodes, "BEAT", 0.05)
    monkeypatch.setattr(nodes, "SILENCE", 1.0)
    with pytest.raises(
        UserError, match=r"^dpo: node b is lost \(it was silent for 1 s\), which ends the training on all"
    ):
        together(part, {other: "node b"})
    its_end.close()
    with pytest.raises(UserError, match=r"node b is lost \(its connection ended\).*goes on from the last checkpoint$"):
        together(part, {other: "node b"})


def test_a_node_that_lives_is_not_lost(ends: tuple[Connection, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    part, launcher, other, its_end = ends
    monkeypatch.setattr(nodes, "BEAT", 0.05)
    monkeypatch.setattr(nodes, "SILENCE", 1.0)

    def live() -> None:
        for _ in range(30):
            tell([its_end], {})
            time.sleep(0.05)
        tell([launcher, its_end], {"done": True})

    living = threading.Thread(target=live)
    living.start()
    together(part, {other: "node b"})
    living.join()


def call(token: bytes, said: list[str]) -> None:
    """Call as a node does that knows ``token``, and note how it went."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with Client(("127.0.0.1", nodes.port()), authkey=token or token_file().read_bytes()) as first:
                tell([first], {"node": "b"})
                said.append("let in")
                first.poll(10)
            return
        except AuthenticationError:
            said.append("refused")
            return
        except (ConnectionError, FileNotFoundError):
            time.sleep(0.05)


def test_who_does_not_know_the_token_is_refused_and_the_next_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    def both() -> None:
        call(b"wrong", said)
        call(b"", said)

    calling = threading.Thread(target=both)
    calling.start()
    heard = callers(20)
    name, connection, theirs = next(heard)
    heard.close()
    assert (name, theirs) == ("node b (127.0.0.1)", {"node": "b"})
    assert token_file().stat().st_mode & 0o777 == 0o600
    connection.close()
    calling.join()
    assert said == ["refused", "let in"]
    assert capsys.readouterr().err == (
        f"dpo: 127.0.0.1 called and is refused: it does not know the token in {token_file()}\n"
    )


def test_every_training_has_a_token_of_its_own() -> None:
    tokens = set()
    for _ in range(2):
        assert list(callers(0.01)) == []
        tokens.add(token_file().read_text())
    assert {len(each) for each in tokens} == {64} and len(tokens) == 2


def test_nodes_that_do_not_come_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "JOINING", 0.1)
    with pytest.raises(
        UserError, match=r"^dpo: 1 of 2 nodes did not join within 0 minutes; run 'make join' there with "
    ):
        start_training(TWO, False, SCRIPT, ["balanced", "0"])


def test_a_port_that_is_taken_and_one_that_is_none_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("", nodes.port())),
        pytest.raises(UserError, match=r"cannot be listened on \(Address alr"),
    ):
        next(callers(1))
    monkeypatch.setenv(nodes.PORT, "65536")
    with pytest.raises(UserError, match=r"^the environment variable REFUSEU_NODES_PORT is '65536' and no port; "):
        nodes.port()


def test_a_training_of_several_nodes_takes_the_pipelines_paths() -> None:
    with pytest.raises(UserError, match=r"leave out --mix, or take a machine whose training.nodes is 1$"):
        start_training(TWO, False, SCRIPT, ["balanced", "0", "--mix", "mix.parquet"])


def test_what_must_agree_differs_with_the_machine_alone() -> None:
    one, other = facts(TWO), facts(TWO.model_copy(update={"batch_size": 1}))
    assert {key for key in one if one[key] != other[key]} == {"machine"}
    assert one.keys() - {"node"} == nodes.MUST_AGREE.keys()
