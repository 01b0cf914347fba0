"""Creates one monthly partition without making the application wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

PARENTS: Final = ("content_segments", "audit_log")

ATTACH_WAITS_MS: Sequence[int] = (40,) * 400
"""ATTACH needs SHARE ROW EXCLUSIVE on threads and users, because of the foreign keys, and whoever
writes there queues behind our waiting: never for long, rather often. With the pauses in between,
some 48 s in all."""


def partition_name(parent: str, month: Month) -> str:
    """``content_segments_2017_03`` of ``content_segments`` and 2017-03."""
    return f"{parent}_{month.suffix}"


def create_partition(
    connection: Connection,
    parent: str,
    month: Month,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Create the partition of ``month``; both steps in one transaction, so never half.

    The table is made beside its parent and attached while it is empty: CREATE TABLE … PARTITION
    OF would take ACCESS EXCLUSIVE on the parent. An empty table needs no CHECK to be attached
    without a scan. Refused when the server won't have it.
    """
    name = partition_name(parent, month)

    def attach_it() -> None:
        with connection.transaction():
            attach(connection, parent, month, name)

    try:
        # Each try is a savepoint: the table is made once, and only the wait is repeated.
        with connection.transaction():
            create_like(connection, parent, name)
            with_escalating_lock_timeout(
                connection, f"partition {name}", attach_it, waits_ms=ATTACH_WAITS_MS, sleep=sleep
            )
    except (psycopg.errors.InvalidObjectDefinition, psycopg.errors.CheckViolation) as error:
        raise Refused(
            f"partition {name}",
            cause=str(error).splitlines()[0],
            next_step=f"look at the bounds of {parent}'s partitions around {month}",
        ) from error


def create_like(connection: Connection, parent: str, name: str) -> None:
    """Make an empty table of the parent's shape, not attached to it."""
    names = {"partition": sql.Identifier(name), "parent": sql.Identifier(parent)}
    connection.execute(statement("partitions/create_like").format(**names))


def attach(connection: Connection, parent: str, month: Month, name: str) -> None:
    """Attach a table as the partition of ``month``, in the transaction that is open."""
    names = {"partition": sql.Identifier(name), "parent": sql.Identifier(parent)}
    connection.execute(statement("partitions/attach").format(**names, **bounds_of(month)))


def bounds_of(month: Month) -> Mapping[str, sql.Literal]:
    """The bounds of a month as literals that carry their offset."""
    return {
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }


def is_empty(connection: Connection, table: str) -> bool:
    """Whether a table holds no row, as this moment's snapshot sees it."""
    row = connection.execute(
        sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(sql.Identifier(table))
    ).fetchone()
    return row == (True,)
