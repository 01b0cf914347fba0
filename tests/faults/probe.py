"""In the child: counts SQL statements and S3 requests, and stops at the one that was asked for.

A statement of psycopg or ADBC and an HTTP request of boto3 is a point. It has two moments:
*before* it has left this process, and *in flight*: sent, and its answer not yet seen. (ADBC's
calls and S3 requests have been answered by then; the code has not been told.)
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import adbc_driver_manager.dbapi as adbc
import psycopg
from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import URLLib3Session

Moment: TypeAlias = Literal["before", "in flight"]

_LABEL_LENGTH: Final = 70


class Probe:
    """Numbers the points of one step, and reports to the harness over its socket."""

    def __init__(self, channel: socket.socket, pause_at: tuple[int, Moment] | None) -> None:
        self._lines = channel.makefile("rw", encoding="utf-8", newline="\n")
        self._pause_at = pause_at
        self._lock = threading.Lock()
        self.labels: list[str] = []

    def number(self, label: str) -> int:
        with self._lock:
            self.labels.append(label)
            return len(self.labels)

    def moment(self, number: int, moment: Moment) -> None:
        """Stop here, if this is the moment asked for, until the harness says to go on."""
        if (number, moment) != self._pause_at:
            return
        self._pause_at = None
        self.tell({"paused": {"number": number, "label": self.labels[number - 1]}})
        if not self._lines.readline():
            raise SystemExit("the harness is gone")

    def tell(self, message: dict[str, object]) -> None:
        self._lines.write(json.dumps(message) + "\n")
        self._lines.flush()


def install(probe: Probe) -> None:
    """Put the probe below psycopg, ADBC and boto3, for the life of this process."""
    _watch_psycopg(probe)
    _watch_adbc(probe)
    _watch_s3(probe)


def _watch_psycopg(probe: Probe) -> None:
    current = threading.local()
    execute, wait = psycopg.Cursor.execute, psycopg.Connection.wait

    def labelled_execute(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = query.as_string(None) if hasattr(query, "as_string") else query
        current.label = _shortened(text if isinstance(text, str) else text.decode())
        try:
            return execute(cursor, query, *arguments, **options)
        finally:
            current.label = None

    def watched_wait(connection: Any, gen: Any, *arguments: Any, **options: Any) -> Any:
        # BEGIN and COMMIT come without a cursor; the generator's name tells them.
        label = getattr(current, "label", None) or gen.__name__.strip("_")
        current.label = None
        if label == "fetch_gen":
            return wait(connection, gen, *arguments, **options)
        number = probe.number(f"SQL {label}")
        probe.moment(number, "before")
        return wait(connection, _in_flight(gen, number), *arguments, **options)

    def _in_flight(gen: Any, number: int) -> Generator[Any, Any, Any]:
        # psycopg's generators yield for the first time when everything is sent.
        try:
            wanted = next(gen)
            probe.moment(number, "in flight")
            while True:
                wanted = gen.send((yield wanted))
        except StopIteration as done:
            return done.value

    psycopg.Cursor.execute = labelled_execute  # type: ignore[assignment, method-assign]
    psycopg.Connection.wait = watched_wait  # type: ignore[assignment, method-assign]


def _watch_adbc(probe: Probe) -> None:
    def watched(name: str, label: Callable[..., str]) -> None:
        original = getattr(adbc.Cursor, name)

        def call(cursor: Any, *arguments: Any, **options: Any) -> Any:
            number = probe.number(f"ADBC {_shortened(label(*arguments))}")
            probe.moment(number, "before")
            result = original(cursor, *arguments, **options)
            probe.moment(number, "in flight")
            return result

        setattr(adbc.Cursor, name, call)

    watched("execute", lambda query, *_: str(query))
    watched("adbc_ingest", lambda table, *_: f"ingest {table}")


def _watch_s3(probe: Probe) -> None:
    send = URLLib3Session.send

    def watched_send(session: Any, request: AWSPreparedRequest) -> Any:
        number = probe.number(f"S3 {_request_label(request)}")
        probe.moment(number, "before")
        response = send(session, request)
        probe.moment(number, "in flight")
        return response

    URLLib3Session.send = watched_send  # type: ignore[assignment, method-assign]


def _request_label(request: AWSPreparedRequest) -> str:
    parts = urlsplit(request.url)
    # The bucket is another one in every run.
    key = unquote(parts.path).strip("/").partition("/")[2]
    query = parse_qs(parts.query, keep_blank_values=True)
    operation = sorted(set(query) - {"prefix", "encoding-type", "versionId", "x-id", "uploadId"})
    shown = f"{key or ''.join(query.get('prefix', []))} {' '.join(operation)}".strip()
    method = "COPY" if "x-amz-copy-source" in request.headers else request.method
    return f"{method} {shown}"


def _shortened(text: str) -> str:
    words = re.sub(r"\s+", " ", text).strip()
    return words if len(words) <= _LABEL_LENGTH else f"{words[: _LABEL_LENGTH - 1]}…"
