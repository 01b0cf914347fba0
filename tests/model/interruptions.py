"""In this process: something happens at the n-th statement or request of a step.

The points are those of tests/faults/probe.py. There a child process is killed, here it is played:
from its death on, every statement and request of the step raises, also in what cleans up; then the
server ends its sessions. It is quicker by the start of a process, and the code can't tell.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import adbc_driver_manager.dbapi as adbc
import psycopg
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from botocore.retries import standard

Kind: TypeAlias = Literal["dies before", "dies after", "cut", "answer lost", "meanwhile", "usurped"]
KINDS: Final[tuple[Kind, ...]] = (
    "dies before",  # the process is killed before the statement has left
    "dies after",  # and when it was answered, and the process has not seen it
    "cut",  # the server ends all sessions of the run, which goes on without
    "answer lost",  # of a request to S3 that was carried out
    "meanwhile",  # something else happens, then the run goes on
    "usurped",  # the sessions end, something else happens, and the run goes on without noticing
)


class Died(BaseException):
    """The process was killed. No Exception: nothing in the code may catch it and go on."""


@dataclass(slots=True)
class Interruption:
    """What happens at which point of the step that runs under it."""

    kind: Kind
    number: int
    happens: Callable[[], None] = lambda: None
    """For "meanwhile" and "usurped"."""
    cut: Callable[[], None] = lambda: None
    """Ends the step's sessions on the server."""
    seen: int = 0
    struck: bool = False
    is_dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, is_request: bool) -> bool:
        """Before a statement or request leaves; whether `after` has to be called for it."""
        if self.is_dead:
            raise Died
        with self._lock:
            if self.struck or (self.kind == "answer lost" and not is_request):
                return False
            self.seen += 1
            if self.seen != self.number:
                return False
            self.struck = True
        match self.kind:
            case "dies before":
                self.is_dead = True
                raise Died
            case "cut":
                self.cut()
            case "meanwhile":
                self.happens()
            case "usurped":
                self.cut()
                self.happens()
            case _:
                return True
        return False

    def after(self) -> None:
        """When the statement or request was answered."""
        if self.kind == "dies after":
            self.is_dead = True
            raise Died
        if self.kind == "answer lost":
            raise ConnectionClosedError(endpoint_url="the model")


_armed: Interruption | None = None


@contextmanager
def interrupted(interruption: Interruption | None) -> Iterator[None]:
    """Have ``interruption`` happen in a step that runs in the block."""
    global _armed  # noqa: PLW0603  the drivers' hooks are as global
    before, _armed = _armed, interruption
    try:
        yield
    finally:
        _armed = before


@contextmanager
def watched() -> Iterator[None]:
    """Put the hooks below psycopg, ADBC and boto3, and take the waiting out, for a block."""
    with _psycopg_watched(), _adbc_watched(), _s3_watched(), _hurried():
        yield


@contextmanager
def _psycopg_watched() -> Iterator[None]:
    wait = psycopg.Connection.wait

    def watched_wait(connection: Any, gen: Any, *arguments: Any, **options: Any) -> Any:
        armed = _armed
        if armed is None or gen.__name__.strip("_") == "fetch_gen":
            return wait(connection, gen, *arguments, **options)
        strikes = armed.before(is_request=False)
        result = wait(connection, gen, *arguments, **options)
        if strikes:
            armed.after()
        return result

    psycopg.Connection.wait = watched_wait  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        psycopg.Connection.wait = wait  # type: ignore[method-assign]


@contextmanager
def _adbc_watched() -> Iterator[None]:
    originals = {name: getattr(adbc.Cursor, name) for name in ("execute", "adbc_ingest")}

    def watched_method(original: Any) -> Any:
        def call(cursor: Any, *arguments: Any, **options: Any) -> Any:
            armed = _armed
            strikes = armed is not None and armed.before(is_request=False)
            result = original(cursor, *arguments, **options)
            if armed is not None and strikes:
                armed.after()
            return result

        return call

    for name, original in originals.items():
        setattr(adbc.Cursor, name, watched_method(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(adbc.Cursor, name, original)


@contextmanager
def _s3_watched() -> Iterator[None]:
    send = URLLib3Session.send

    def watched_send(session: Any, request: Any) -> Any:
        armed = _armed
        strikes = armed is not None and armed.before(is_request=True)
        response = send(session, request)
        if armed is not None and strikes:
            armed.after()
        return response

    URLLib3Session.send = watched_send  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        URLLib3Session.send = send  # type: ignore[method-assign]


@contextmanager
def _hurried() -> Iterator[None]:
    """No pause between attempts, wherever the code sleeps by its default argument."""
    hurried = []
    for function in _functions():
        defaults = function.__kwdefaults__ or {}
        for name in [name for name, value in defaults.items() if value is time.sleep]:
            defaults[name] = _no_sleep
            hurried.append((defaults, name))
    delay = standard.ExponentialBackoff.delay_amount
    standard.ExponentialBackoff.delay_amount = lambda self, context: 0  # type: ignore[method-assign]
    try:
        yield
    finally:
        standard.ExponentialBackoff.delay_amount = delay  # type: ignore[method-assign]
        for defaults, name in hurried:
            defaults[name] = time.sleep


def _functions() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.startswith("ft_ops."):
            yield from (f for _, f in inspect.getmembers(module, inspect.isfunction))


def _no_sleep(seconds: float) -> None:
    """In place of time.sleep."""
