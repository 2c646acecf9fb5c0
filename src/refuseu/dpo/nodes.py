"""A training on several nodes: each starts its own part of it by accelerate, and all parts end where one node is lost.

The first node runs the pipeline. Its stage waits until the others have joined (``refuseu.join``), and tells each the
name of the training and its rank. What a node runs, it composes itself from its own clone. All nodes share one disk: a node is
let in when it has read the token that the first node has just written there, and it listens to nobody who does not know that
token. What they say to each other is JSON. It is not encrypted, like all that torch sends, so the network must be private.
"""

import hashlib
import json
import multiprocessing
import os
import secrets
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from refuseu.core.errors import UserError
from refuseu.core.files import atomic, kept_folder
from refuseu.core.parent import end_with_parent
from refuseu.core.sections import Positive, Section, Seed, load
from refuseu.core.terminal import say
from refuseu.dpo.checkpoints import LIBRARIES
from refuseu.dpo.launching import Place, launch
from refuseu.dpo.machine import TrainingMachine, load_training_machine
from refuseu.dpo.settings import DpoParameters

ADDRESS, PORT = "REFUSEU_FIRST_NODE", "REFUSEU_NODES_PORT"
"""The variables that name the first node, for the others, and the port on which it waits for them."""
USUAL_PORT = 29500
JOINING = 600.0
"""Seconds that the first node waits for the others."""
ANSWER = 10.0
"""Seconds in which a caller must show that it knows the token."""
BEAT, SILENCE = 5.0, 120.0
"""Seconds between two signs of life of a node, and after how many without one it counts as lost."""
GRACE = 40.0
"""Seconds that a part of a training has to end its processes; torch itself gives them 30."""
RETRY = 1.0
"""Seconds between two calls of the first node, which answers only where a training begins or the run is over."""
ENDING = 60.0
"""Seconds that the first node waits for the others to tell them that the run is over."""
LONGEST = 65536
"""Bytes of a message, at most."""
MUST_AGREE = {
    "code": "its code is not the first node's; check out the same commit there",
    "parameters": "its params.yaml or profile is not the first node's; make them the same",
    "machine": "its machine is not the first node's; give both the same REFUSEU_MACHINE",
    "libraries": "its libraries have other versions than the first node's; install the same lock there",
}
"""What a node says of itself, and what is said to one that differs from the first."""


class Training(Section):
    """What the first node tells another: which training begins, and where this node stands in it."""

    config: Annotated[str, Field(pattern=r"^\w[\w-]*$")]
    seed: Seed
    rank: Positive
    """Of this node; the first has 0."""
    port: Positive
    """Of the first node, for torch's rendezvous."""


def start_training(machine: TrainingMachine, bf16: bool, script: Path, arguments: Sequence[str]) -> None:
    """Run ``script`` with ``arguments`` (a config and a seed) in the processes of all nodes of the machine until they end.

    Raises:
        UserError: with the sentence of the first process that failed, and where the other nodes do not join or one is lost.
    """
    if machine.nodes == 1:
        launch(machine, bf16, script, arguments)
        return
    config, seed, *paths = arguments
    if paths:
        raise UserError(
            f"dpo: on several nodes a training reads and writes what the pipeline names; leave out {paths[0]}, or take a machine "
            "whose training.nodes is 1"
        )
    with ExitStack() as stack:
        others: dict[Connection, str] = {}
        for name, connection in _joined(machine):
            others[stack.enter_context(connection)] = name
        training = Training(config=config, seed=int(seed), rank=1, port=_free_port())
        for rank, connection in enumerate(others, start=1):
            tell([connection], training.model_copy(update={"rank": rank}).model_dump())
        place = Place(0, "127.0.0.1", training.port)
        with running(machine, bf16, script, arguments, place) as part:
            together(part, others)


def _joined(machine: TrainingMachine) -> Iterator[tuple[str, Connection]]:
    """Yield the other nodes as they join, with their names.

    Raises:
        UserError: when they are too few after ``JOINING`` seconds.
    """
    missing, ours = machine.nodes - 1, facts(machine)
    say(
        f"dpo: waits for {missing} more node{'s' * (missing > 1)}; on each, in this folder: "
        f"{ADDRESS}={socket.gethostname()} make join",
        err=True,
    )
    for name, connection, theirs in callers(JOINING):
        fault = next((said for key, said in MUST_AGREE.items() if theirs.get(key) != ours[key]), "")
        if fault:
            tell([connection], {"refused": f"{name}: {fault}"})
            say(f"dpo: {name} is refused: {fault}", err=True)
            connection.close()
            continue
        yield name, connection
        missing -= 1
        if not missing:
            return
    raise UserError(
        f"dpo: {missing} of {machine.nodes} nodes did not join within {JOINING / 60:.0f} minutes; run 'make join' there with "
        f"{ADDRESS} set, in this folder ({Path.cwd()}) on a disk that all nodes share, or lower training.nodes in machines/"
    )


def callers(seconds: float) -> Iterator[tuple[str, Connection, dict[str, Any]]]:
    """Yield the nodes that call within so many seconds and know the token: name, connection, and what they say of themselves.

    Raises:
        UserError: where the port is taken, and where the token cannot be written.
    """
    token, end = _new_token(), time.monotonic() + seconds
    with _server() as server:
        while (left := end - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                caller, (host, _) = server.accept()
            except TimeoutError:
                return
            connection = connected(caller)
            try:
                deliver_challenge(connection, token)
                answer_challenge(connection, token)
                theirs = receive(connection)
            except (AuthenticationError, EOFError, OSError):
                connection.close()
                say(f"dpo: {host} called and is refused: it does not know the token in {token_file()}", err=True)
                continue
            yield f"node {theirs.get('node')} ({host})", connection, theirs


def _server() -> socket.socket:
    try:
        return socket.create_server(("", port()))
    except OSError as error:
        raise UserError(
            f"dpo: port {port()} cannot be listened on ({error.strerror}): it is another training's on several nodes, or another "
            f"program's; wait for its end, or give all nodes another {PORT}"
        ) from None


def port() -> int:
    """The port on which the first node waits for the others.

    Raises:
        UserError: where ``MASTER_PORT`` is no port.
    """
    text = os.environ.get(PORT) or str(USUAL_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(
            f"the environment variable {PORT} is {text!r} and no port; write a number below 65536, or unset it"
        )
    return int(text)


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def token_file() -> Path:
    """Where the token of the next training lies, for this user alone to read."""
    return kept_folder() / "nodes.token"


def _new_token() -> bytes:
    token = secrets.token_hex(32)
    with atomic(token_file()) as temporary:
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_text(token, encoding="ascii")
    return token.encode()


def facts(machine: TrainingMachine) -> dict[str, str]:
    """What a node says of itself: its name, and digests of all that must be the same on all nodes."""
    room = Path(__file__).parents[1]
    code = b"".join(str(path.relative_to(room)).encode() + path.read_bytes() for path in sorted(room.rglob("*.py")))
    described = {
        "code": code,
        "parameters": load(DpoParameters).model_dump_json().encode(),
        "machine": machine.model_dump_json().encode(),
        "libraries": " ".join(map(version, LIBRARIES)).encode(),
    }
    return {"node": socket.gethostname()} | {key: hashlib.sha256(each).hexdigest() for key, each in described.items()}


def connected(caller: socket.socket) -> Connection:
    """The connection of a socket. Where the other side stops in the middle of a message, reading and writing fail."""
    caller.settimeout(None)
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        caller.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", int(ANSWER), 0))
    return Connection(caller.detach())


def tell(others: Sequence[Connection], message: Mapping[str, Any]) -> None:
    """Send a message. One who is lost does not get it; that it is lost shows where it is listened to."""
    for each in others:
        with suppress(OSError):
            each.send_bytes(json.dumps(message).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """The next message.

    Raises:
        EOFError, OSError: where the other side is gone or stops in the middle.
    """
    message: dict[str, Any] = json.loads(connection.recv_bytes(LONGEST))
    return message


@contextmanager
def running(
    machine: TrainingMachine, bf16: bool, script: Path, arguments: Sequence[str], place: Place
) -> Iterator[Connection]:
    """Run this node's part of a training in a process that ends with this context. Yield where it says how it ended."""
    context = multiprocessing.get_context("spawn")
    part, said = context.Pipe(duplex=False)
    process = context.Process(target=_part, args=(said, machine, bf16, script, arguments, place))
    process.start()
    said.close()
    try:
        yield part
        process.join(GRACE)
    finally:
        process.terminate()
        process.join(GRACE)
        process.kill()
        process.join()
        part.close()


def _part(said: Connection, *launched: Any) -> None:
    end_with_parent(signal.SIGKILL)
    try:
        launch(*launched)
    except UserError as error:
        message: dict[str, Any] = {"failed": error.message}
    else:
        message = {"done": True}
    # torch has made it an exception, which would be shown while this process ends.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tell([said], message)


def together(part: Connection, others: dict[Connection, str]) -> None:
    """Wait until this node's part of a training has ended well and so have the parts of the nodes that it hears of.

    Raises:
        UserError: with what the first of them failed of, or where one is lost. The others have been told the same.
    """
    names = {part: "the launcher of this node", **others}
    heard, beaten = dict.fromkeys(others, time.monotonic()), 0.0
    waited_for: list[Connection] = list(names)
    try:
        while waited_for:
            for source in wait(waited_for, timeout=BEAT):
                assert isinstance(source, Connection)
                message = _of(source, names[source])
                heard[source] = time.monotonic()
                if "failed" in message:
                    raise UserError(message["failed"])
                if "done" in message:
                    waited_for.remove(source)
                    if source is part:
                        tell(list(others), message)
            now = time.monotonic()
            if now - beaten >= BEAT:
                tell(list(others), {})
                beaten = now
            for each in others:
                if each in waited_for and now - heard[each] > SILENCE:
                    raise UserError(_lost(names[each], f"it was silent for {SILENCE:.0f} s"))
    except UserError as error:
        tell(list(others), {"failed": error.message})
        raise


def _of(source: Connection, name: str) -> dict[str, Any]:
    try:
        return receive(source)
    except (EOFError, OSError):
        raise UserError(_lost(name, "its connection ended")) from None


def _lost(name: str, why: str) -> str:
    return f"dpo: {name} is lost ({why}), which ends the training on all nodes; 'dvc repro' goes on from the last checkpoint"


def follow(address: str) -> None:
    """Take part in each training of the first node until it says that the run is over.

    Raises:
        UserError: where the first node cannot be found, does not share this folder, or refuses this node.
    """
    say(f"Waits for the trainings of {address}; {Path.cwd()} must be its clone, on a shared disk", err=True)
    while True:
        with connected(_reached(address)) as first:
            told = _told(first, address)
            if "over" in told:
                return
            if "refused" in told:
                raise UserError(told["refused"])
            if told:
                _take_part(Training(**told), first, address)
        time.sleep(RETRY)


def _reached(address: str) -> socket.socket:
    while True:
        try:
            return socket.create_connection((address, port()), timeout=ANSWER)
        except socket.gaierror as error:
            raise UserError(f"{ADDRESS}: {address} is not known here ({error.strerror}); name the first node") from None
        except OSError:
            time.sleep(RETRY)


def _told(first: Connection, address: str) -> dict[str, Any]:
    """What the first node wants of this one; nothing where it is gone again."""
    try:
        token = token_file().read_bytes()
        answer_challenge(first, token)
        deliver_challenge(first, token)
    # Whatever else listens on the port delivers no challenge, which Python 3.11 asserts.
    except (AuthenticationError, AssertionError, FileNotFoundError, PermissionError):
        raise UserError(
            f"{address}:{port()} and this node do not share a token: {token_file().absolute()} must be the file that the first "
            "node has written; run this in the first node's clone, on a disk that all nodes share, as the same user"
        ) from None
    except (EOFError, OSError):
        return {}
    tell([first], facts(load_training_machine()))
    try:
        return receive(first) if first.poll(JOINING) else {}
    except (EOFError, OSError):
        return {}


def _take_part(training: Training, first: Connection, address: str) -> None:
    """Run this node's part of a training. Where it fails, say so, and be ready for the next."""
    arguments = [training.config, str(training.seed)]
    say(f"Takes part in the training dpo {' '.join(arguments)} as node {training.rank}", err=True)
    place = Place(training.rank, address, training.port)
    bf16, machine = load(DpoParameters).dpo.bf16, load_training_machine()
    try:
        with running(machine, bf16, Path("stages/dpo.py"), arguments, place) as part:
            together(part, {first: f"the first node ({address})"})
    except UserError as error:
        say(f"Error: {error.format_message()}", err=True)


def end(others: int) -> None:
    """Tell so many nodes that the run is over, as far as they call."""
    if others:
        for _, connection, _ in callers(ENDING):
            with connection:
                tell([connection], {"over": True})
            others -= 1
            if not others:
                return
