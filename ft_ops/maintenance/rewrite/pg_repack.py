"""The program pg_repack: whether it can be used here, one run of it, and what died runs have left.

It copies a table beside its readers and writers, notes their changes by a trigger, and puts the
copy in the table's place under ACCESS EXCLUSIVE, for which it waits at most a second at a time. Its
advisory lock on the table tells a run that lives from one that died.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import psycopg
from psycopg import pq, sql
from psycopg.rows import class_row

from ft_ops.errors import OpsError, Refused
from ft_ops.items import Worked, each
from ft_ops.pg.application import Canary
from ft_ops.pg.connect import Connection, connected, connection_string
from ft_ops.pg.locks import lock_timeout
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import quoted, statement
from ft_ops.programs import run

_LOCK_PATIENCE_SECONDS: Final = 30
_SECONDS_BETWEEN_LOOKS: Final = 0.5
_CANCEL_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 60.0
_QUEUE_SECONDS: Final = 2
"""So long a session may wait for the table behind a run. Whoever comes after it waits, too."""
_APPLICATION: Final = "pg_repack"
_SAFE_SINCE: Final = (1, 5, 1)
"""Before, a vacuum of the copy that went on while it was put in place could delete new rows."""
_DROP_WAIT_MS: Final = 1000
_VERSION_SECONDS: Final = 30.0
_NEEDED: Final = frozenset({b"sslpassword"})
"""Without them there is no connection; what else has no variable only tunes one."""
_UNENDING: Final = {"idle_in_transaction_session_timeout": "0"}
"""One of its sessions stands idle in its transaction, and holds the table, while another copies."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a died run left of one table, which may be gone itself. ``is_ours``: of our own role."""

    table_oid: int
    schema: str | None
    name: str | None
    is_ours: bool
    owner: str

    def __str__(self) -> str:
        if self.schema is None or self.name is None:
            return f"table {self.table_oid}, which is gone"
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Repacked:
    """What was seen of a run: its error, unless it was asked to stop, and all that it said."""

    stopped: str
    error: OpsError | None
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """pg_repack as it is run: its path, and the connection string of the database."""

    path: str
    url: str

    def arguments(self, schema: str, name: str) -> list[str]:
        """It never ends a session that is in its way, and needs no superuser."""
        return [
            "--no-superuser-check",
            "--no-kill-backend",
            f"--wait-timeout={_LOCK_PATIENCE_SECONDS}",
            "--no-order",
            # An index that is skipped would go on pointing into the old table.
            "--error-on-invalid-index",
            f"--table={quoted(schema, name)}",
        ]

    def environment(self) -> dict[str, str]:
        """The connection, by libpq's variables: a password never stands among the arguments."""
        pinned = connection_string(self.url, application=_APPLICATION, settings=_UNENDING)
        return {
            option.envvar.decode(): option.val.decode()
            for option in pq.Conninfo.parse(pinned.encode())
            if option.envvar and option.val
        }

    @property
    def unsaid(self) -> list[str]:
        """What the connection needs and no variable of libpq can say."""
        return [
            option.keyword.decode()
            for option in pq.Conninfo.parse(self.url.encode())
            if option.val and not option.envvar and option.keyword in _NEEDED
        ]


def refuse_unusable(connection: Connection, program: Program, version: str | None) -> None:
    """Refused where the extension or a right is missing, or the program is of another version."""
    what = "pg_repack"
    if version is None:
        raise Refused(
            what,
            cause="this database does not have the extension",
            next_step="as an administrator: CREATE EXTENSION pg_repack, with the package of this "
            "server's version installed",
        )
    if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < _SAFE_SINCE:
        raise Refused(
            what,
            cause=f"version {version} can lose rows that are written while a table is put in place",
            next_step="install version 1.5.1 or later, and ALTER EXTENSION pg_repack UPDATE",
        )
    if program.unsaid:
        raise Refused(
            what,
            cause=f"FT_DATABASE_URL has {', '.join(program.unsaid)}, which libpq takes from no "
            "variable, and a secret does not stand among the arguments of a program",
            next_step="give the operations role a key without a password, which only the user of "
            "the jobs may read",
        )
    lacking = connection.execute(statement("maintenance/repack_rights")).fetchall()
    if lacking:
        role = sql.Identifier(connection.info.user).as_string(connection)
        grants = "; ".join(text.replace("%I", role) for (text,) in lacking)
        raise Refused(
            what,
            cause=f"role {connection.info.user} may not use it",
            next_step=f"as an administrator: {grants}",
        )
    said = run(program.path, ["--version"], timeout_seconds=_VERSION_SECONDS).split()
    if said[-1:] != [version]:
        raise Refused(
            what,
            cause=f"the program is version {' '.join(said[-1:])}, the extension {version}",
            next_step="install the program of the extension's version where the jobs run, or ALTER "
            "EXTENSION pg_repack UPDATE",
        )


def repack(
    beside: Connection,
    program: Program,
    table: tuple[int, str, str],
    canary: Canary,
    *,
    seconds: float,
    log: Callable[[str], None],
) -> Repacked:
    """Write a table, (oid, schema, name), anew, and watch the application from ``beside``.

    Stops it after ``seconds``, when the canary suffers, when somebody has to wait for the table
    behind it, or when nobody can watch any more. An interrupt ends it too.
    """
    oid, schema, name = table
    said: list[str] = []

    def heard(line: str) -> None:
        said.append(line)
        log(line)

    stop = _Ending(beside, program, oid)
    with ThreadPoolExecutor(max_workers=1) as thread:
        running = thread.submit(
            run,
            program.path,
            program.arguments(schema, name),
            timeout_seconds=seconds + 2 * _STOP_SECONDS,
            environment=program.environment(),
            heard=heard,
            given_up=stop.gave_up.is_set,
        )
        stopped = ""
        until = time.monotonic() + seconds
        try:
            while not wait([running], timeout=_SECONDS_BETWEEN_LOOKS).done:
                if not stopped and time.monotonic() >= until:
                    stopped = "the window is over"
                stopped = stopped or _reason_to_stop(beside, oid, canary)
                if stopped:
                    stop.ask()
        finally:
            # Interrupted: it has to end all the same, and is waited for.
            try:
                while not wait([running], timeout=_SECONDS_BETWEEN_LOOKS).done:
                    stop.ask()
            finally:
                stop.gave_up.set()
    try:
        running.result()
    except OpsError as error:
        return Repacked(stopped, None if stopped else error, tuple(said))
    return Repacked(stopped, None, tuple(said))


@dataclass(slots=True)
class _Ending:
    """Ends a run: its statement is cancelled, then its session ended, then the program killed.

    Where it sleeps between two statements, nothing can be cancelled. When its session ends, it
    drops what it made by another one; when it is killed, we do.
    """

    beside: Connection
    program: Program
    table_oid: int
    gave_up: threading.Event = field(default_factory=threading.Event)
    began: float | None = None

    def ask(self) -> None:
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        if now - self.began >= _STOP_SECONDS:
            self.gave_up.set()
            return
        is_late = now - self.began >= _CANCEL_SECONDS
        # One that can't be asked is killed a little later.
        with suppress(psycopg.Error, OpsError):
            self._execute("pg_terminate_backend" if is_late else "pg_cancel_backend")

    def _execute(self, function: str) -> None:
        stop = sql.Identifier(function)
        query = statement("maintenance/stop_repack_sessions").format(stop=stop)
        values = {"table": self.table_oid}
        if not self.beside.broken:
            self.beside.execute(query, values)
            return
        with connected(self.program.url, application="tables written anew, stopping") as other:
            other.execute(query, values)


def _reason_to_stop(beside: Connection, oid: int, canary: Canary) -> str:
    """Why a run has to end now, empty while it need not: whom it hurts, or that nobody sees it."""
    try:
        if canary.suffers(beside):
            return f"the canary took up to {canary.worst_ms:,.0f} ms"
        values = {"table": oid, "application": f"ft-ops {_APPLICATION}", "seconds": _QUEUE_SECONDS}
        waits = beside.execute(statement("maintenance/repack_queue"), values).fetchone()
    except psycopg.errors.QueryCanceled:
        return ""
    except psycopg.Error as error:
        return f"nobody could watch it: {' '.join(str(error).split())}"
    return "" if waits is None else str(waits[0])


def leftovers(connection: Connection) -> list[Leftovers]:
    """What runs have left, and what those that live still need, by table."""
    with connection.cursor(row_factory=class_row(Leftovers)) as cursor:
        return cursor.execute(statement("maintenance/repack_leftovers")).fetchall()


def drop_repack_leftovers(connection: Connection, log: Callable[[str], None]) -> Worked[None]:
    """Drop what died runs of our own role left. A run that lives, or another's, is left and named.

    The copy and the log are worth nothing without the run: the table has all rows at every moment.
    """
    return each(
        leftovers(connection),
        partial(_drop, connection, log),
        name=lambda left: f"leftovers of pg_repack on {left}",
        log=log,
        usable=lambda: not connection.broken,
    )


def _drop(connection: Connection, log: Callable[[str], None], left: Leftovers) -> None:
    if not left.is_ours:
        raise Refused(
            "they are not ours",
            cause=f"they belong to {left.owner}",
            next_step=f"as {left.owner}: SELECT repack.repack_drop({left.table_oid}, 4)",
        )
    values = {"table": left.table_oid}
    if not one_row(connection.execute(statement("maintenance/try_repack_lock"), values))[0]:
        raise Refused(
            "a run lives",
            cause="pg_repack is still at work on it",
            next_step="wait for its end, or end its session; the next run drops what it leaves",
        )
    try:
        with lock_timeout(connection, _DROP_WAIT_MS):
            if left.name is None:
                _drop_orphans(connection, left.table_oid)
            else:
                connection.execute(statement("maintenance/drop_repack_leftovers"), values)
    finally:
        if not connection.broken:
            connection.execute(statement("maintenance/unlock_repack"), values)
    log(f"dropped what pg_repack left of {left}")


def _drop_orphans(connection: Connection, oid: int) -> None:
    for name, values in (
        ("drop_repack_orphans", {"log": f"log_{oid}", "copy": f"table_{oid}"}),
        ("drop_repack_type", {"type": f"pk_{oid}"}),
    ):
        named = {key: sql.Identifier("repack", value) for key, value in values.items()}
        connection.execute(statement(f"maintenance/{name}").format(**named))
