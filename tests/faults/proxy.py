"""An HTTP proxy in front of the S3 endpoint that answers one request, or many, as it should not."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

Mischief: TypeAlias = Literal[
    "500",  # the service fails, and does nothing
    "503",  # SlowDown
    "time-out",  # no answer, and nothing is done
    "reset",  # the connection breaks before the request has arrived
    "lost answer",  # the service does it, and the connection breaks
    "half body",  # the service does it, and half of its answer arrives
]
MISCHIEF: Final[tuple[Mischief, ...]] = get_args(Mischief)

_CLIENT_GIVES_UP: Final = 3
"""Seconds; the steps' clients wait for 2."""

_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "expect"}


@dataclass(slots=True)
class Answer:
    """What the endpoint said: a status, headers and a body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


Filter: TypeAlias = Callable[[str, str, Answer], Answer]
"""May change an answer; gets the request's method and path with query."""


@dataclass(slots=True)
class Plan:
    """What the proxy does, and what it has seen. Requests are counted from 1.

    ``mischief`` strikes the request of number ``first``, and all later ones where ``lasting``.
    """

    mischief: Mischief | None = None
    first: int = 0
    lasting: bool = False
    filter: Filter = field(default=lambda method, path, answer: answer)
    seen: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str, path: str) -> Mischief | None:
        with self._lock:
            self.seen.append(f"{method} {path}")
            number = len(self.seen)
        struck = number == self.first or (self.lasting and number > self.first)
        return self.mischief if struck else None


class Proxy:
    """A running proxy; set ``plan`` before a step begins."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.plan = Plan()


@contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    """A proxy in front of ``endpoint`` (``http://host:port``) for a block."""

    class Handler(_Handler):
        upstream = urlsplit(endpoint).netloc

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    Handler.proxy = running
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    proxy: Proxy

    def handle_any(self) -> None:
        plan = self.proxy.plan
        body = self._request_body()
        mischief = plan.next(self.command, self.path)
        match mischief:
            case "500":
                self._send(_error(500, "InternalError"))
            case "503":
                self._send(_error(503, "SlowDown"))
            case "time-out":
                self._wait_for_the_client_to_leave()
            case "reset":
                self._reset()
            case "lost answer":
                self._forward(body)
                self._reset()
            case "half body":
                self._send(self._forward(body), share=0.5)
            case None:
                self._send(plan.filter(self.command, self.path, self._forward(body)))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815  as inherited

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as inherited
        pass

    def _request_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _forward(self, body: bytes) -> Answer:
        upstream = http.client.HTTPConnection(self.upstream, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        headers["Content-Length"] = str(len(body))
        try:
            upstream.request(self.command, self.path, body=body, headers=headers)
            response = upstream.getresponse()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP_BY_HOP]
            return Answer(response.status, kept, response.read())
        finally:
            upstream.close()

    def _send(self, answer: Answer, share: float = 1.0) -> None:
        has_length = any(k.lower() == "content-length" for k, _ in answer.headers)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if not has_length:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: int(len(answer.body) * share)])
        self.wfile.flush()
        if share < 1:
            self._reset()

    def _reset(self) -> None:
        """RST instead of FIN: what a dead peer looks like."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _wait_for_the_client_to_leave(self) -> None:
        self.connection.settimeout(_CLIENT_GIVES_UP)
        with suppress(OSError):
            self.connection.recv(1)
        self.close_connection = True


def _error(status: int, code: str) -> Answer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status, [("Content-Type", "application/xml")], text.encode())
