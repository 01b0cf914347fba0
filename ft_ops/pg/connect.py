"""The one way to a database: encrypted unless it is local, with the session that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import conninfo
from psycopg.errors import IdleInTransactionSessionTimeout, LockNotAvailable
from psycopg.pq import TransactionStatus

from ft_ops.errors import OpsError, explained, explanation
from ft_ops.pg.interruptible import InterruptibleConnection
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import SESSION, Connection, refused_for_pooler, require_pinned
from ft_ops.pg.sqlfiles import statement
from ft_ops.spans import are_wanted

__all__ = [
    "SESSION",
    "Connection",
    "connect",
    "connected",
    "connection_string",
    "describe",
    "server_time",
]

_CANCEL_SECONDS = 5
_KEEPALIVES: Final = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
"""A server that went away without a word is noticed after two minutes, not after two hours."""

_NAMED: Final = 6
"""Tables of one session that a message names."""
_REFUSALS: Final = {
    "does not support SSL": "let the server offer TLS (ssl = on); where the network between is "
    "private, say so: sslmode=disable in FT_DATABASE_URL",
    "too many (clients|connections)|remaining connection slots": "see who holds its connections in "
    "pg_stat_activity, as a superuser where no other slot is left, and compare max_connections and "
    "the CONNECTION LIMIT of the role and the database; then run again",
    "database system is (starting up|shutting down|in recovery|not yet)": "wait until the server "
    "has recovered, as its log tells, then run again",
}
"""What to do where a server answers and takes nobody in, by a pattern of what it says."""

_QUOTED = re.compile(r'".*"', re.DOTALL)


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
    options = [str(parts.get("options") or "")]
    options += [f"-c {name}={_escaped(value)}" for name, value in _pinned(settings).items()]
    parts["options"] = " ".join(options).strip()
    parts["application_name"] = f"ft-ops {application}"
    parts.setdefault("connect_timeout", 10)
    if not is_local(parts):
        if must_be_encrypted(parts):
            parts["sslmode"] = "require"
        for name, value in _KEEPALIVES.items():
            parts.setdefault(name, value)
    return conninfo.make_conninfo(**parts)  # type: ignore[arg-type]  # str | int values


def connect(url: str, *, application: str, settings: Mapping[str, str] | None = None) -> Connection:
    """Open an autocommit connection; transactions are explicit, by ``connection.transaction()``.

    ``application`` shows in pg_stat_activity. VACUUM, REINDEX CONCURRENTLY and DETACH
    CONCURRENTLY need autocommit, and a forgotten transaction holds the xmin horizon. An OpsError
    when the server can't be reached, or when the session is not as it was asked for.
    """
    target = connection_string(url, application=application, settings=settings)
    try:
        connection = _open(target)
    except psycopg.OperationalError as error:
        raise _unreachable(url, error) from error
    try:
        with explained(f"database {describe(url)}"):
            require_pinned(connection, _pinned(settings), describe(url))
    except BaseException:
        connection.close()
        raise
    return connection


def _open(target: str) -> Connection:
    if not are_wanted():
        return InterruptibleConnection.connect(target, autocommit=True)
    from ft_ops.pg.traced import TracedCursor, TracedServerCursor

    connection = InterruptibleConnection.connect(
        target, autocommit=True, cursor_factory=TracedCursor
    )
    connection.server_cursor_factory = TracedServerCursor
    return connection


@contextmanager
def connected(
    url: str, *, application: str, settings: Mapping[str, str] | None = None
) -> Iterator[Connection]:
    """An operations connection for a block, closed after it.

    A statement that the server did not end, because it went away, ran out of something or waited
    too long, is an OpsError. One that an interruption has left running is cancelled: the server
    would go on.
    """
    connection = connect(url, application=application, settings=settings)
    try:
        yield connection
    except LockNotAvailable as error:
        raise OpsError(
            f"database {describe(url)}",
            cause=f"{error}: {locked_now(connection)}",
            next_step="wait for that session to end, or end it, then run again",
        ) from error
    except (psycopg.OperationalError, IdleInTransactionSessionTimeout) as error:
        raise explanation(f"database {describe(url)}", error) from error
    finally:
        if connection.info.transaction_status == TransactionStatus.ACTIVE:
            connection.cancel_safe(timeout=_CANCEL_SECONDS)
        connection.close()


@contextmanager
def primary(
    url: str, *, application: str, settings: Mapping[str, str] | None = None
) -> Iterator[Connection]:
    """Like `connected`; an OpsError where the server is a replica.

    It takes no writes, and what it knows may be of an hour ago: what is read there and found in
    order, or missing, need not be so.
    """
    with connected(url, application=application, settings=settings) as connection:
        # The server has told it by itself: asking would cost each session a round trip.
        if connection.info.parameter_status("in_hot_standby") == "on":
            raise OpsError(
                f"database {describe(url)}",
                cause="its server is a replica, and takes no writes",
                next_step="let FT_DATABASE_URL name the primary",
            )
        yield connection


def is_local(parts: Mapping[str, object]) -> bool:
    """Whether every server that a connection string names is this machine itself."""
    named = str(parts.get("hostaddr") or parts.get("host") or "")
    return all(
        not host or host.startswith(("/", "@", "127.")) or host in {"localhost", "::1"}
        for host in named.split(",")
    )


def must_be_encrypted(parts: Mapping[str, object]) -> bool:
    """Whether libpq would be content with less than TLS although nobody said that it may.

    An explicit ``disable`` is somebody's decision; ``prefer`` and ``allow`` give in to whoever
    sits between.
    """
    return _sslmode(parts) in {"prefer", "allow"}


def sslmode(url: str) -> str:
    """What is demanded of the way to the server that ``url`` names, in libpq's words."""
    return _sslmode(conninfo.conninfo_to_dict(url))


def _sslmode(parts: Mapping[str, object]) -> str:
    if "system" in {parts.get("sslrootcert"), _default("sslrootcert")}:
        return "verify-full"
    return str(parts.get("sslmode") or _default("sslmode"))


def _default(name: str) -> str:
    """libpq's own value, which PGSSLMODE and its like may set."""
    defaults = {item.keyword.decode(): item.val for item in psycopg.pq.Conninfo.get_defaults()}
    return (defaults[name] or b"").decode()


def _pinned(settings: Mapping[str, str] | None) -> Mapping[str, str]:
    return {**SESSION, **(settings or {})}


def _unreachable(url: str, error: psycopg.OperationalError) -> OpsError:
    said = " ".join(str(error).split())
    if "startup parameter" in said:
        return refused_for_pooler(describe(url), said)
    next_step = next(
        (step for pattern, step in _REFUSALS.items() if re.search(pattern, said)),
        "check that the server runs and that FT_DATABASE_URL is right",
    )
    return OpsError(f"database {describe(url)}", cause=said, next_step=next_step)


def locked_now(connection: Connection, *, also_read: bool = False) -> str:
    """What others have for themselves alone at this moment, in words; the oldest first.

    ``also_read``: what others only read too, which is in the way of whoever wants it alone.
    """
    locked: list[str] = []
    if takes_statements(connection):
        with suppress(psycopg.Error):
            locked = [
                f"{_some(relations)} locked by session {pid} ({role}, {application}), since "
                f"{since:%Y-%m-%d %H:%M:%S} UTC"
                for relations, pid, role, application, since in connection.execute(
                    statement("pg/locked_now"), {"also_read": also_read}
                )
            ]
    return "; ".join(locked) or "it is locked by another session, which has ended since"


def _some(relations: list[str]) -> str:
    if len(relations) <= _NAMED:
        return ", ".join(relations)
    return f"{', '.join(relations[:_NAMED])} and {len(relations) - _NAMED} more"


def server_time(connection: Connection) -> datetime:
    """What the server's clock says.

    Figures over time are dated by it: of several machines that write them one may be wrong, and
    what it dates ahead would be the newest for as long.
    """
    moment: datetime = one_row(connection.execute(statement("pg/server_time")))[0]
    return moment.astimezone(UTC)


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
    if (problem := _wrong_scheme(url)) is not None:
        return problem
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        return _QUOTED.sub("…", str(error).strip())
    # As it is written: a name with an @ of its own has it encoded.
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    wrong = {
        "its port is no number": not re.fullmatch(r"[\d,]*", str(parts.get("port") or "")),
        "its host holds an @": "@" in str(parts.get("host") or ""),
        "its database's name holds an @": "@" in path,
        "its connect_timeout is no number": not re.fullmatch(
            r"\d*", str(parts.get("connect_timeout") or "")
        ),
    }
    return next((problem for problem, is_so in wrong.items() if is_so), None)


def _wrong_scheme(url: str) -> str | None:
    scheme, found, _ = url.partition("://")
    if found and re.fullmatch(r"postgres(?:ql)?\+\w+", scheme):
        return f"{scheme}:// is how SQLAlchemy writes it, for FT_DAGSTER_DATABASE_URL alone"
    if (found and scheme not in {"postgresql", "postgres"}) or (not found and "=" not in url):
        return "it does not begin with postgresql://"
    return None


def describe(url: str) -> str:
    """``user@host:port/database`` of a connection string: what a message may say of it."""
    if unreadable(url):
        return "(unreadable URL)"
    parts = conninfo.conninfo_to_dict(url)
    port = f":{parts['port']}" if parts.get("port") else ""
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"{user}{parts.get('host') or 'local'}{port}/{parts.get('dbname') or ''}"


def same_database(one: str, other: str) -> bool:
    """Whether two connection strings name one database, however each is written.

    False for one that can't be read. Two names of one host are not seen to be one.
    """
    if unreadable(one) or unreadable(other):
        return False
    named = [conninfo.conninfo_to_dict(url) for url in (one, other)]
    databases = {_given(parts, "dbname") or _given(parts, "user") for parts in named}
    servers = [_servers(parts) for parts in named]
    return len(databases) == 1 and not servers[0].isdisjoint(servers[1])


def _servers(parts: Mapping[str, object]) -> frozenset[tuple[str, str]]:
    """Host and port of every server that a connection string names."""
    hosts = (str(parts.get("hostaddr") or "") or _given(parts, "host")).split(",")
    ports = (_given(parts, "port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return frozenset(
        (_host(host.strip()), port or "5432") for host, port in zip(hosts, ports, strict=False)
    )


def _host(name: str) -> str:
    if name.startswith(("/", "@")):
        return name.rstrip("/")
    return "" if is_local({"host": name}) else name.lower().rstrip(".")


def _given(parts: Mapping[str, object], name: str) -> str:
    """A part of a connection string, or what libpq takes instead of it."""
    return str(parts.get(name) or _default(name))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
