"""A server of OpenAI's API on this machine that does to each row what its script says."""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What is sent back for one request."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """The connection is closed after half of the body."""
    before: Callable[[], object] = lambda: None
    """Done before the first byte is sent."""
    rest: Callable[[], Iterable[bytes]] | None = None
    """What comes after ``body``, piece by piece, of a length that is not told; the connection is closed behind it."""


def said(text: str | None, finish: str | None = "stop", **choice: Any) -> Reply:
    """A good answer, or one that is good but for its finish reason."""
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return Reply(json.dumps({"choices": [{"finish_reason": finish, "message": message, **choice}]}).encode())


def wrote(text: str, finish: str = "stop", **choice: Any) -> Reply:
    """A good answer to a raw prompt."""
    return Reply(json.dumps({"choices": [{"finish_reason": finish, "text": text, **choice}]}).encode())


def fault(status: int, message: str = "", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    """An error in OpenAI's format: ``code`` and ``param`` beside the message."""
    return Reply(json.dumps({"error": {"message": message, **error}}).encode(), status, headers or {})


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: dict[str, list[Reply]]) -> None:
        """``script``: replies by the text of the last message or of the raw prompt, in order; the last one stays.

        Other rows get ``echo``.
        """
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.requests: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.authorizations: set[str | None] = set()
        self.most_at_once = 0
        self.sent = 0
        """Bytes of the replies' ``rest``."""
        self._at_once = 0
        self._script = {text: list(replies) for text, replies in script.items()}
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the midst of an answer is what a test wants; its thread would print it into the next test."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def reply(self, body: dict[str, Any], authorization: str | None) -> Reply:
        raw = "prompt" in body
        text = body["prompt"] if raw else body["messages"][-1]["content"]
        with self._lock:
            self.requests[text] += 1
            self.bodies.append(body)
            self.authorizations.add(authorization)
            replies = self._script.get(text, [(wrote if raw else said)(f"echo {text}")])
            return replies.pop(0) if len(replies) > 1 else replies[0]

    @contextmanager
    def under_way(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        yield
        with self._lock:
            self._at_once -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two would wait for each other
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paths.append(self.path)
        reply = self.server.reply(body, self.headers["Authorization"])
        with self.server.under_way():
            reply.before()
        try:
            self._send(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client no longer waits

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        if reply.rest is None:
            self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        for piece in reply.rest() if reply.rest else ():
            self.wfile.write(piece)
            self.wfile.flush()
            self.server.sent += len(piece)
        self.close_connection = reply.cut or reply.rest is not None

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's output is its own."""


@contextmanager
def serving(script: dict[str, list[Reply]] | None = None, kind: type[Server] = Server) -> Iterator[Server]:
    with kind(script or {}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
