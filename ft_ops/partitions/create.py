"""Creates one monthly partition without making the application wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.partitions.grants import kept_to_owner
from ft_ops.pg.connect import Connection, locked_now
from ft_ops.pg.locks import saying_who_holds, until_locked
from ft_ops.pg.pace import Pace
from ft_ops.pg.sqlfiles import statement

PARENTS: Final = ("content_segments", "audit_log")

KEYED: Final = "content_segments"
"""The parent whose rows have keys, a thread and a user."""

_ANYWHERE: Final = sql.SQL("")
"""Where tables lie of which nobody has said it."""

ATTACH_WAITS_MS: Sequence[int] = (40,) * 400
"""ATTACH needs SHARE ROW EXCLUSIVE on threads and users, because of the foreign keys, and whoever
writes there queues behind our waiting: never for long, rather often. With the pauses in between,
some seven minutes in all."""


def partition_name(parent: str, month: Month) -> str:
    """``content_segments_2017_03`` of ``content_segments`` and 2017-03."""
    return f"{parent}_{month.suffix}"


def create_partition(
    connection: Connection,
    parent: str,
    month: Month,
    *,
    pace: Pace,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Create the partition of ``month``; both steps in one transaction, so never half.

    No transaction is open: the attempts that get no lock must leave none that is aborted.

    Then rest as ``pace`` asks: after each month every session plans its statements anew, over all
    months, and many months in a row would keep an application at that.

    The table is made beside its parent and attached while it is empty: CREATE TABLE … PARTITION
    OF would take ACCESS EXCLUSIVE on the parent. An empty table needs no CHECK to be attached
    without a scan. Refused when the server won't have it.
    """
    name = partition_name(parent, month)
    place = _place(connection, parent)

    def create(wait_ms: int) -> float:
        began = pace.clock()
        # Statements of one message are one transaction, in one round trip. Nothing is held while we
        # pause: the table that LIKE made would keep ACCESS SHARE on the parent, and whoever wants
        # it whole would wait behind us.
        connection.execute(
            sql.SQL(";\n").join(
                [
                    sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(wait_ms)),
                    *creation(parent, month, place),
                ]
            )
        )
        return began

    try:
        began = until_locked(
            f"partition {name}",
            create,
            waits_ms=ATTACH_WAITS_MS,
            sleep=sleep,
            in_the_way=lambda: locked_now(connection, also_read=True),
        )
    except (psycopg.errors.InvalidObjectDefinition, psycopg.errors.CheckViolation) as error:
        raise Refused(
            f"partition {name}",
            cause=str(error).splitlines()[0],
            next_step=f"look at the bounds of {parent}'s partitions around {month}",
        ) from error
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject) as error:
        raise Refused(
            f"partition {name}",
            cause=f"{str(error).splitlines()[0]}: something else bears that name",
            next_step=f"see what public.{name} is, such as another month's partition or a type, "
            f"and rename it; then materialize {parent}_partitions for {month}",
        ) from error
    pace.rest_since(began)


def creation(
    parent: str, month: Month, place: sql.Composable = _ANYWHERE
) -> Sequence[sql.Composed]:
    """The statements that make the partition of ``month``, for one transaction."""
    name = partition_name(parent, month)
    return [_like(parent, name, place), _attached(parent, month, name)]


def create_like(connection: Connection, parent: str, name: str) -> None:
    """Make an empty table of the parent's shape, not attached to it."""
    connection.execute(_like(parent, name, _place(connection, parent)))


def attach(connection: Connection, parent: str, month: Month, name: str) -> None:
    """Attach a table as the partition of ``month``, in the transaction that is open."""
    connection.execute(_attached(parent, month, name))


def _place(connection: Connection, parent: str) -> sql.Composable:
    """Where its partitions are to lie, as CREATE TABLE says it."""
    row = connection.execute(statement("partitions/tablespace"), {"parent": parent}).fetchone()
    return _ANYWHERE if row is None else sql.SQL("TABLESPACE {}").format(sql.Identifier(row[0]))


def _like(parent: str, name: str, place: sql.Composable) -> sql.Composed:
    partition = sql.Identifier(name)
    like = statement("partitions/create_like").format(
        partition=partition, parent=sql.Identifier(parent), place=place
    )
    own = ("partitions/keep_keys", "partitions/keep_keys_always") if parent == KEYED else ()
    return sql.SQL(";\n").join(
        [
            like,
            kept_to_owner(partition),
            *(statement(name).format(partition=partition) for name in own),
        ]
    )


def _attached(parent: str, month: Month, name: str) -> sql.Composed:
    return statement("partitions/attach").format(
        partition=sql.Identifier(name), parent=sql.Identifier(parent), **bounds_of(month)
    )


def bounds_of(month: Month) -> Mapping[str, sql.Literal]:
    """The bounds of a month as literals that carry their offset."""
    return {
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }


def is_empty(connection: Connection, table: str) -> bool:
    """Whether a table holds no row, as this moment's snapshot sees it.

    An OpsError that names who holds it when it is locked.
    """
    with saying_who_holds(connection, table):
        row = connection.execute(
            sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(sql.Identifier(table))
        ).fetchone()
    return row == (True,)
