"""What every session of the operations relies on: set when it begins, and read back.

A pooler may drop what a client asks for, or lend one client's session to another. Whoever trusted
that would wait for locks for ever, read filtered rows as if they were all, and hold a lock together
with somebody else. So nothing is done in a session before its settings were seen to be in force and
its server process was seen to be its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, class_row

from ft_ops.errors import OpsError
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

Connection = psycopg.Connection[TupleRow]
T = TypeVar("T")

SESSION: Mapping[str, str] = MappingProxyType(
    {
        # The login role may be called like a schema: the default would then put that one first,
        # and with it a second, empty set of tables. The server looks into pg_catalog before both;
        # but of functions and operators it takes what fits the arguments best, wherever it lies:
        # see refuse_planted.
        "search_path": "public, pg_temp",
        # Text stays text: of a server in SQL_ASCII it would arrive as bytes.
        "client_encoding": "UTF8",
        # Text forms of rows are hashed and compared: they must not follow the server's settings.
        "TimeZone": "UTC",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "lc_monetary": "C",
        "xmloption": "content",
        "standard_conforming_strings": "on",
        # A NULL in an array that a driver sends as text would arrive as the word.
        "array_nulls": "on",
        "transform_null_equals": "off",
        # So are the catalog's own texts.
        "quote_all_identifiers": "off",
        # A policy that would hide rows from us is an error, never a shorter archive.
        "row_security": "off",
        # A limit on what an index finds leaves out rows by chance.
        "gin_fuzzy_search_limit": "0",
        # Whoever tries again looks at what the others have done meanwhile, and nothing of ours is
        # made to be ended by a conflict of two that read.
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        # What VACUUM did and why it could not is told by its messages.
        "client_min_messages": "notice",
        # One table that can't be had would end the session, and with it all the others.
        "exit_on_error": "off",
        "lock_timeout": "5s",
        # A time-out of the role is for the application's short statements. What of ours has to
        # end after a while sets its own.
        "statement_timeout": "0",
        "idle_session_timeout": "0",
        # What waits for others in a transaction says so: see stay_open.
        "idle_in_transaction_session_timeout": "10min",
        # The other cores are the application's: with parallel workers an export had six processes
        # on two cores, took as long, and doubled the application's p99.
        "max_parallel_workers_per_gather": "0",
        # The server notices a dead client in the middle of a long statement.
        "client_connection_check_interval": "5s",
    }
)
"""What every operations session sets. A caller may set more, or other values, on top."""

_SINCE: Final[Mapping[int, Mapping[str, str]]] = {170000: {"transaction_timeout": "0"}}
"""Settings that only newer servers know: a server refuses a session that asks for others."""

_AS_IT_IS: Final[Mapping[str, str]] = {
    # No trigger and no foreign key would fire.
    "session_replication_role": "origin",
    # A damaged page would be read as an empty one: rows would be missing from an archive that is
    # proven all the same, as the proof reads them no better, and then be deleted.
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    # The catalog itself could be changed by a slip.
    "allow_system_table_mods": "off",
}
"""Only a superuser may set these, and a role or the server may have been given another value."""

_READ_BACK: Final = """
SELECT
    pg_backend_pid(),
    -- Acknowledged is stored: what is deleted elsewhere may depend on it.
    CASE current_setting('synchronous_commit')
        WHEN 'off' THEN set_config('synchronous_commit', 'on', false)
    END,
    (
        SELECT array_agg(set_config(newer.name, newer.value, false))
        FROM unnest(%(newer)s::text[], %(newer_values)s::text[]) AS newer (name, value)
    ),
    (
        SELECT array_agg(coalesce(current_setting(asked.name, true), '') ORDER BY asked.place)
        FROM unnest(%(names)s::text[]) WITH ORDINALITY AS asked (name, place)
    )
"""

_DIRECTLY: Final = (
    "let FT_DATABASE_URL name the server itself, not a pooler (PgBouncer, RDS Proxy, Supavisor) in "
    "front of it"
)


@dataclass(frozen=True, slots=True)
class StrangersObject:
    """Something in a schema of ours that belongs to neither the operations nor an administrator.

    ``can_run``: it is a function or an operator, or a view where our own tables are not there yet,
    and may run as whoever looks a name up.
    """

    name: str
    owner: str
    can_run: bool

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"


@dataclass(frozen=True, slots=True)
class OpenSchema:
    """A schema in which a stranger may put something, as its owner or because he was granted it."""

    schema: str
    role: str
    is_owner: bool

    def __str__(self) -> str:
        if self.is_owner:
            return f"the schema {self.schema} belongs to {self.role}"
        return f"{self.role} may create objects in the schema {self.schema}"


STRANGERS_NEXT_STEP: Final = (
    "find out who made it and what for; then, as an administrator, DROP it, or hand it over by "
    "ALTER … OWNER TO ft_ops, and run sql/roles/bootstrap.sql, which lets nobody else make more"
)
_NAMED: Final = 6
"""Objects that a message names."""


def strangers_objects(connection: Connection) -> list[StrangersObject]:
    """What lies in our schemas and is not ours, what can run first. Nothing of it runs by this."""
    with connection.cursor(row_factory=class_row(StrangersObject)) as cursor:
        return _apart(cursor, "pg/strangers_objects").fetchall()


def open_schemas(connection: Connection) -> list[OpenSchema]:
    """Where a stranger may put something that our sessions would look up."""
    with connection.cursor(row_factory=class_row(OpenSchema)) as cursor:
        return _apart(cursor, "pg/open_schemas").fetchall()


def named(found: Sequence[StrangersObject]) -> str:
    """The first few of them, in words."""
    told = ", ".join(map(str, found[:_NAMED]))
    return told if len(found) <= _NAMED else f"{told} and {len(found) - _NAMED} more"


def refuse_planted(connection: Connection, place: str) -> None:
    """Refuse a database in which something of a stranger's could run as this session's role."""
    with connection.cursor() as cursor:
        if not one_row(_apart(cursor, "pg/are_strangers_here"))[0]:
            return
    planted = [found for found in strangers_objects(connection) if found.can_run]
    if planted:
        raise OpsError(
            f"database {place}",
            cause="what others have put where names are looked up could run as "
            f"{connection.info.user}: {named(planted)}",
            next_step=STRANGERS_NEXT_STEP,
        )


def _apart(cursor: psycopg.Cursor[T], name: str) -> psycopg.Cursor[T]:
    """The result of a statement that finds the server's own functions and operators alone."""
    cursor.execute(
        sql.SQL("SET LOCAL search_path = pg_catalog, pg_temp; ") + statement(name), prepare=False
    )
    cursor.nextset()
    return cursor


def require_pinned(connection: Connection, wanted: Mapping[str, str], place: str) -> None:
    """Refuse a session that is not as it was asked for; two round trips when it is.

    Before anything is looked up by a name, it is seen that no name leads to what a stranger made.
    An OpsError names every setting that did not arrive. A session that a pooler lends is refused
    even if all did: it may be another one for the next statement, and the locks with it.
    """
    refuse_planted(connection, place)
    newer = {
        name: value
        for since, settings in _SINCE.items()
        if connection.info.server_version >= since
        for name, value in settings.items()
    }
    expected = {**wanted, **_AS_IT_IS}
    row = one_row(
        connection.execute(
            _READ_BACK,
            {
                "newer": list(newer),
                "newer_values": list(newer.values()),
                "names": list(expected),
            },
        )
    )
    found = dict(zip(expected, row[3], strict=True))
    lost = list(_lost(connection, expected, found))
    if row[0] != connection.info.backend_pid:
        raise refused_for_pooler(place, "it lends us a session of its own", lost)
    if lost:
        raise _refused(place, lost)


def differing(wanted: Mapping[str, str]) -> sql.Composed:
    """A query for the settings that are not as they were asked for, one a row, in words.

    For a driver other than psycopg, whose session can't be given to `require_pinned`. The values
    are written as the server writes them.
    """
    expected = {**wanted, **_AS_IT_IS}
    return sql.SQL(
        "SELECT asked.name || ' is ' || coalesce(current_setting(asked.name, true), 'unknown')"
        " || ', not ' || asked.value FROM (VALUES {}) AS asked (name, value)"
        " WHERE current_setting(asked.name, true) IS DISTINCT FROM asked.value"
    ).format(
        sql.SQL(", ").join(
            sql.SQL("({}, {})").format(sql.Literal(name), sql.Literal(value))
            for name, value in expected.items()
        )
    )


LATE: Final = (
    "SELECT set_config(late.name, late.value, false)"
    " FROM (VALUES ('transaction_timeout', '0'), ('synchronous_commit', 'on'))"
    " AS late (name, value)"
    " JOIN pg_settings AS known ON known.name = late.name"
    " WHERE late.name <> 'synchronous_commit' OR known.setting = 'off'"
)
"""What `require_pinned` sets in a session that has begun, for a driver other than psycopg."""


def refuse_lost(place: str, lost: Sequence[str]) -> None:
    """Refuse a session in which `differing` has found something."""
    if lost:
        raise _refused(place, lost)


def _refused(place: str, lost: Sequence[str]) -> OpsError:
    """What is said of a session that is PostgreSQL's own, and not as it was asked for."""
    forced = [name for name in _AS_IT_IS if any(f"{name} is " in told for told in lost)]
    reset = " and ".join(f"RESET {name}" for name in forced)
    return OpsError(
        f"database {place}",
        cause=f"the session is not as it was asked for: {'; '.join(lost)}",
        next_step=(
            f"see pg_settings for where it is set; then ALTER ROLE or ALTER DATABASE … {reset}, or "
            "take it out of the server's configuration"
            if forced
            else f"{_DIRECTLY}; or take back what the server or the role sets instead"
        ),
    )


def refused_for_pooler(place: str, why: str, lost: list[str] | None = None) -> OpsError:
    """What is said of a pooler between us and the server."""
    told = f"; what was asked for did not arrive: {'; '.join(lost)}" if lost else ""
    return OpsError(
        f"database {place}",
        cause=f"a connection pooler answers instead of PostgreSQL: {why}{told}",
        next_step=_DIRECTLY,
    )


def stay_open(connection: Connection) -> None:
    """Let the transaction that is open wait for as long as others need what it holds.

    For a session that holds a snapshot or a lock while other sessions work. A dead client is then
    noticed by TCP alone, not by the time-out.
    """
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


def _lost(
    connection: Connection, expected: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[str]:
    for name, value in expected.items():
        if found[name] != value and found[name] != _as_shown(connection, name, value):
            yield f"{name} is {found[name] or 'unknown'}, not {value}"


def _as_shown(connection: Connection, name: str, value: str) -> str | None:
    """How the server writes a value, such as 3s for 3000ms; None where it takes none such."""
    try:
        with connection.transaction(force_rollback=True):
            row = one_row(connection.execute("SELECT set_config(%s, %s, true)", (name, value)))
    except psycopg.Error:
        return None
    return str(row[0])
