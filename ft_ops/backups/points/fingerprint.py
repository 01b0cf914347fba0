"""A fingerprint of every table, order-independent and computed by the server.

A row's text, under the pinned settings of our sessions, is hashed to 64 bits
(hashtextextended) and the hashes are added up. Equal sums and counts mean equal rows in any order,
short of an accident of 1 in 2^64. Physical order, bloat and indexes don't enter it, so a restored
table must have the very fingerprint of its original.

Tables are written to while they are read. Of a copy that is made of files only the rows that were
there when the reading began are compared: a row's version keeps the number of its transaction, and
versions of before can only become fewer. Where two readings find as many of them, they are the same
ones, and were there at every moment in between: the second reading need only count them. A table of
which some are deleted all the time is compared part by part: a part is a run of blocks, which a
version never leaves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

import psycopg
from psycopg import sql

from ft_ops.backups.points.sums import (
    TableFingerprint,
    TableParts,
    fingerprint_in_steps,
    parts_in_steps,
)
from ft_ops.errors import OpsError, without_rows
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_Found = TypeVar("_Found")

PARTS: Final = 64
"""Into how many parts a table is cut: a row that is written to all the time costs one of them."""

LOCK_PATIENCE_SECONDS: Final = 120.0
"""How long a table that somebody holds is asked for again."""

_PAUSE_SECONDS: Final = 1.0


Fingerprints = Mapping[str, TableFingerprint]
"""``schema.table`` → fingerprint, for every table and materialized view that holds rows itself."""


@dataclass(frozen=True, slots=True)
class SeenRows:
    """What a later reading has to find again of a table: how many rows, and the first ones' hash.

    The rows are the same ones if they are as many; what ALTER TABLE makes of them shows in any.
    """

    rows: int
    first_rows: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What one snapshot holds: each table that could be read, and why others could not."""

    tables: Fingerprints
    versions: Mapping[str, SeenRows]
    unread: Mapping[str, str]


def fingerprint_tables(connection: Connection, snapshot: str | None = None) -> Fingerprints:
    """Fingerprint every table of the database; for one instant, call it in one snapshot.

    Left out are unlogged and temporary tables, which no backup carries, and what belongs to an
    extension. ``snapshot`` is a pg_snapshot: only rows that it sees are counted. An OpsError names
    a table that can't be read.
    """
    return _each_table(connection, snapshot, _raise)


def fingerprint_readable_tables(
    connection: Connection,
    unreadable: Callable[[str, psycopg.Error], None],
    snapshot: str | None = None,
) -> Fingerprints:
    """Like `fingerprint_tables`, for a copy that may be damaged.

    ``unreadable`` is told the table and the error for each that can't be read, and the others are
    fingerprinted all the same. The connection must be in autocommit.
    """
    return _each_table(connection, snapshot, unreadable)


def fingerprint_table(
    connection: Connection, name: str, snapshot: str | None = None
) -> TableFingerprint:
    """All rows of one table ``schema.table``, or those that a pg_snapshot sees."""
    schema, _, table = name.partition(".")
    return _fingerprint(connection, _Table(schema, table, 0), snapshot)


def read_snapshot(
    connection: Connection,
    snapshot: str | None,
    *,
    pace: Pace = FULL_SPEED,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Reading:
    """Fingerprint every table as the connection's transaction sees it, whatever befalls one."""

    def read(table: _Table) -> tuple[TableFingerprint, SeenRows]:
        found = fingerprint_in_steps(connection, table.quoted, _is_seen(snapshot), pace)
        return found, SeenRows(found.rows, _ask(connection, "backups/first_rows", table, snapshot))

    found, unread = _read_each(connection, read, sleep, clock)
    return Reading(
        {name: fingerprint for name, (fingerprint, _) in found.items()},
        {name: version for name, (_, version) in found.items()},
        unread,
    )


def read_again(
    connection: Connection,
    snapshot: str,
    *,
    pace: Pace = FULL_SPEED,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Mapping[str, SeenRows], Mapping[str, str]]:
    """Look for the same rows in a later transaction: versions, and why others could not be read."""

    def read(table: _Table) -> SeenRows:
        rows = _ask(connection, "backups/recount", table, snapshot)
        return SeenRows(rows, _ask(connection, "backups/first_rows", table, snapshot))

    return _read_each(connection, read, sleep, clock, pace)


def _read_each(
    connection: Connection,
    read: Callable[[_Table], _Found],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    pace: Pace = FULL_SPEED,
) -> tuple[dict[str, _Found], dict[str, str]]:
    """What was read of each table, and why others could not be read.

    A table that is locked is asked for again; one that was dropped, truncated or rewritten since
    the transaction's snapshot can't be read as of it, and says so. No lock outlasts the reading of
    its table.
    """
    # A scan begins at the first block, whoever else reads the table at this moment.
    connection.execute("SET LOCAL synchronize_seqscans = off")
    found: dict[str, _Found] = {}
    unread: dict[str, str] = {}
    waiting = _tables(connection)
    until: float | None = None
    while waiting:
        locked = []
        for table in pace.steps(waiting):
            unread.pop(table.name, None)
            try:
                found[table.name] = _read_as_it_was(connection, table, partial(read, table))
            except psycopg.errors.LockNotAvailable:
                locked.append(table)
                unread[table.name] = "somebody held it all the time: see pg_locks for who"
            except _ChangedError as changed:
                unread[table.name] = str(changed)
            except psycopg.Error as error:
                unread[table.name] = _why_not(connection, table, error)
        until = clock() + LOCK_PATIENCE_SECONDS if until is None else until
        waiting = locked if clock() <= until else []
        if waiting:
            sleep(_PAUSE_SECONDS)
    return found, unread


def read_parts(
    connection: Connection,
    names: Iterable[str],
    snapshot: str,
    like: Mapping[str, TableParts] | None = None,
    *,
    pace: Pace = FULL_SPEED,
) -> dict[str, TableParts]:
    """The parts of some tables, cut like ``like``; a table that can't be read is left out."""
    found = {}
    tables = {table.name: table for table in _tables(connection)}
    for name in names:
        table = tables.get(name)
        cut = like.get(name) if like is not None else None
        if table is None or (like is not None and cut is None):
            continue
        try:
            blocks = cut.blocks if cut is not None else _blocks_of_a_part(connection, table)
            seen = _is_seen(snapshot)
            read = partial(parts_in_steps, connection, table.quoted, seen, blocks, pace)
            found[name] = _read_as_it_was(connection, table, read)
        except (psycopg.errors.LockNotAvailable, _ChangedError):
            continue
        except psycopg.Error as error:
            _why_not(connection, table, error)
    return found


def parts_of(
    connection: Connection, schema: str, table: str, snapshot: str | None, blocks: int
) -> TableParts:
    """All parts of one table, each of so many blocks."""
    query = statement("backups/parts").format(
        table=sql.Identifier(schema, table),
        blocks=sql.Literal(blocks),
        is_seen=_is_seen(snapshot),
    )
    rows = connection.execute(query).fetchall()
    parts = {int(number): TableFingerprint(count, int(total)) for number, count, total in rows}
    return TableParts(blocks, max(parts, default=-1) + 1, parts)


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    table: str
    oid: int

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table)


class _ChangedError(Exception):
    """A table is not what the snapshot saw: its rows can't be read as of that."""


def _read_as_it_was(connection: Connection, table: _Table, read: Callable[[], _Found]) -> _Found:
    """Read in a savepoint, whose end gives the lock back; raise if the table was replaced."""
    with connection.transaction(force_rollback=True):
        found = read()
        # TRUNCATE is not MVCC: who waited for its lock finds no rows, whatever the snapshot.
        row = connection.execute(
            statement("backups/is_as_in_snapshot"),
            {
                "oid": table.oid,
                "name": table.quoted.as_string(connection),
            },
        ).fetchone()
        if row is None or not row[0]:
            raise _ChangedError("it was truncated, rewritten or made anew in that very moment")
    return found


def _each_table(
    connection: Connection,
    snapshot: str | None,
    on_error: Callable[[str, psycopg.Error], None],
) -> Fingerprints:
    found = {}
    for table in _tables(connection):
        try:
            found[table.name] = _fingerprint(connection, table, snapshot)
        except psycopg.Error as error:
            on_error(table.name, error)
    return found


def _tables(connection: Connection) -> list[_Table]:
    return [_Table(*row) for row in connection.execute(statement("backups/tables")).fetchall()]


def _fingerprint(connection: Connection, table: _Table, snapshot: str | None) -> TableFingerprint:
    query = statement("backups/fingerprint").format(table=table.quoted, is_seen=_is_seen(snapshot))
    row: tuple[int, Decimal] = one_row(connection.execute(query))
    return TableFingerprint(row[0], int(row[1]))


def _ask(connection: Connection, name: str, table: _Table, snapshot: str | None) -> int:
    query = statement(name).format(table=table.quoted, is_seen=_is_seen(snapshot))
    return int(one_row(connection.execute(query))[0])


def _is_seen(snapshot: str | None) -> sql.Composed:
    """Whether a snapshot ``xmin:xmax:xip,…`` sees the transaction that wrote a row's version.

    Also in a copy, where the same transaction has the same number. Numbers are of 32 bits and used
    again: what seems to be of the future is of long ago, and frozen.
    """
    if snapshot is None:
        return sql.SQL("true").format()
    _, end, running = snapshot.split(":")
    later = sql.SQL("(age(r.xmin) > age({}::xid) OR age(r.xmin) < 0)").format(
        sql.Literal(str(int(end) % 2**32))
    )
    if not running:
        return later
    numbers = sql.SQL(", ").join(sql.Literal(str(int(xid) % 2**32)) for xid in running.split(","))
    return sql.SQL("{} AND r.xmin::text NOT IN ({})").format(later, numbers)


def _blocks_of_a_part(connection: Connection, table: _Table) -> int:
    row = one_row(connection.execute(statement("backups/blocks"), {"oid": table.oid}))
    return max(math.ceil(int(row[0]) / PARTS), 1)


def _why_not(connection: Connection, table: _Table, error: psycopg.Error) -> str:
    """Why one table could not be read; an OpsError where it is the connection that is gone."""
    if connection.closed:
        _raise(table.name, error)
    return str(error).strip().splitlines()[0]


def _raise(name: str, error: psycopg.Error) -> None:
    raise OpsError(
        f"fingerprint of {name}",
        cause=without_rows(error),
        next_step="if the operations role may not read it, grant it SELECT; if the server reports "
        "a damaged page, restore from a verified backup",
    ) from error
