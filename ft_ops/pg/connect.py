"""Connections that fail loudly: pinned formats, no filtered rows, no endless waits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from ft_ops.errors import OpsError

Connection = psycopg.Connection[TupleRow]

_CANCEL_SECONDS = 5

_QUOTED = re.compile(r'".*"', re.DOTALL)

SESSION: Mapping[str, str] = MappingProxyType(
    {
        # Text stays text: of a server in SQL_ASCII it would arrive as bytes.
        "client_encoding": "UTF8",
        # Text forms of rows are hashed and compared: they must not follow the server's settings.
        "TimeZone": "UTC",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        # A policy that would hide rows from us is an error, never a shorter archive.
        "row_security": "off",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "10min",
        # The other cores are the application's: with parallel workers an export had six processes
        # on two cores, took as long, and doubled the application's p99.
        "max_parallel_workers_per_gather": "0",
        # The server notices a dead client in the middle of a long statement.
        "client_connection_check_interval": "5s",
    }
)
"""What every operations session sets. A caller may set more, or other values, on top."""


def connection_string(
    url: str, *, application: str, settings: Mapping[str, str] | None = None
) -> str:
    """A libpq connection string for ``url`` with the pinned session settings in it.

    It carries the password: hand it to a driver, never to a message.
    """
    problem = unreadable(url)
    if problem:
        raise OpsError(
            "database URL",
            cause=problem,
            next_step="write it as postgresql://user:password@host:5432/database, with special "
            "characters of the password percent-encoded",
        )
    parts = conninfo.conninfo_to_dict(url)
    pinned = {**SESSION, **(settings or {})}
    options = [str(parts.get("options") or "")]
    options += [f"-c {name}={_escaped(value)}" for name, value in pinned.items()]
    parts["options"] = " ".join(options).strip()
    parts["application_name"] = f"ft-ops {application}"
    parts.setdefault("connect_timeout", 10)
    return conninfo.make_conninfo(**parts)  # type: ignore[arg-type]  # str | int values


def connect(url: str, *, application: str, settings: Mapping[str, str] | None = None) -> Connection:
    """Open an autocommit connection; transactions are explicit, by ``connection.transaction()``.

    ``application`` shows in pg_stat_activity. VACUUM, REINDEX CONCURRENTLY and DETACH
    CONCURRENTLY need autocommit, and a forgotten transaction holds the xmin horizon.
    """
    target = connection_string(url, application=application, settings=settings)
    try:
        return psycopg.connect(target, autocommit=True)
    except psycopg.OperationalError as error:
        raise OpsError(
            f"database {describe(url)}",
            cause=str(error).strip(),
            next_step="check that the server runs and that FT_DATABASE_URL is right",
        ) from error


@contextmanager
def connected(
    url: str, *, application: str, settings: Mapping[str, str] | None = None
) -> Iterator[Connection]:
    """An operations connection for a block, closed after it.

    A statement that the server did not end, because it went away or ran out of something, is an
    OpsError. One that an interruption has left running is cancelled: the server would go on.
    """
    connection = connect(url, application=application, settings=settings)
    try:
        yield connection
    except psycopg.OperationalError as error:
        raise OpsError(
            f"database {describe(url)}",
            cause=str(error).strip(),
            next_step="see the server's log for the cause, then run again: what was begun is "
            "finished by the next run",
        ) from error
    finally:
        if connection.info.transaction_status == TransactionStatus.ACTIVE:
            connection.cancel_safe(timeout=_CANCEL_SECONDS)
        connection.close()


def takes_statements(connection: Connection) -> bool:
    """Whether cleaning up may still send a statement.

    Not when the connection is lost, nor in a failed transaction, nor while a statement runs that
    an interruption has left behind: the error of trying would hide the first one.
    """
    return connection.info.transaction_status in {
        TransactionStatus.IDLE,
        TransactionStatus.INTRANS,
    }


def unreadable(url: str) -> str | None:
    """What is wrong with a connection string, without a word of it; None when it can be read.

    A password with a character that ought to be encoded cuts it elsewhere: its rest is then taken
    for a port, a database or something that libpq's own message quotes.
    """
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        return _QUOTED.sub("…", str(error).strip())
    if not re.fullmatch(r"[\d,]*", str(parts.get("port") or "")):
        return "its port is no number"
    if "@" in str(parts.get("host") or ""):
        return "its host holds an @"
    # As it is written: a name with an @ of its own has it encoded.
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    if "@" in path:
        return "its database's name holds an @"
    return None


def describe(url: str) -> str:
    """``user@host:port/database`` of a connection string: what a message may say of it."""
    if unreadable(url):
        return "(unreadable URL)"
    parts = conninfo.conninfo_to_dict(url)
    port = f":{parts['port']}" if parts.get("port") else ""
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"{user}{parts.get('host') or 'local'}{port}/{parts.get('dbname') or ''}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
