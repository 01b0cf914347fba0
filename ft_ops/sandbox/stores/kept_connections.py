"""moto's server over connections that stay open: werkzeug's own closes each after one request.

Another connection, and a thread that waits for its end, is a third of what a small request costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler

_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class KeptConnection(MotoRequestHandler):
    """Takes one request after another, and answers each in one piece."""

    protocol_version = "HTTP/1.1"
    # What is written goes out when it is complete.
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: the client waits for it."""
        may_come = super().handle_expect_100()
        self.wfile.flush()
        return may_come

    def run_wsgi(self) -> None:
        """Answer one request. An error of moto's own is shown, and ends the connection."""
        environ = self.make_environ()
        # All of it, whether moto wants it or not: what follows it is the next request.
        if "wsgi.input_terminated" in environ:
            body = environ["wsgi.input"].read()
        else:
            body = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        answer = self.server.app(environ, self._begin)
        try:
            self._end(b"".join(answer))
        finally:
            if hasattr(answer, "close"):
                answer.close()

    def _begin(
        self, status: str, headers: Iterable[tuple[str, str]], _: Any = None
    ) -> Callable[[bytes], object]:
        code, _space, reason = status.partition(" ")
        self._status, self._told = int(code), list(headers)
        self.send_response(self._status, reason)
        for name, value in self._told:
            self.send_header(name, value)
        return self.wfile.write

    def _end(self, body: bytes) -> None:
        names = {name.lower() for name, _ in self._told}
        has_body = self.command != "HEAD" and self._status not in _WITHOUT_BODY
        if has_body and "content-length" not in names:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)
        self.wfile.flush()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of each request."""
