"""Ends a removal: drops the month's table, or attaches what stays of it as a table of its own.

What was removed is known by the buckets that the ledger recorded in the transactions that removed
their keys. Every other row stays. A table is dropped under a lock under which nothing can be added
to it, once every row that is to stay is counted in its copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from psycopg import sql

from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.relation import Relation, named_relation
from ft_ops.archive.move.align import shared_columns
from ft_ops.archive.move.detach import attach_archived, forget_erased_threads, rename_archived
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Removal:
    """A month's table that stands alone, and what was removed: by bucket, and at most how many."""

    month: Month
    table: Relation
    buckets: frozenset[int]
    announced: int

    @property
    def what(self) -> str:
        return f"end of the removal of {self.month}"


def settle(
    connection: Connection,
    removal: Removal,
    close: Callable[[Relation | None], T],
    *,
    sleep: Callable[[float], None],
) -> T:
    """Drop the table, or attach its rows that stay in a new one; ``close`` records which.

    ``close`` is called in the transaction that does it, with the new table if there is one.
    Refused when more rows would go than were announced.
    """
    copy = _copy_of_remainder(connection, removal, sleep=sleep)

    def swap() -> T:
        with connection.transaction():
            _lock(connection, removal.table)
            stay = _count(connection, removal)
            if copy is not None:
                _lock(connection, copy)
            _refuse_surplus(connection, removal, stay, copy)
            connection.execute(
                statement("archive/drop_purged").format(table=removal.table.identifier)
            )
            if copy is None:
                forget_erased_threads(connection, removal.month)
                return close(None)
            attached = rename_archived(connection, removal.month, copy)
            attach_archived(connection, removal.month, attached)
            return close(attached)

    return with_escalating_lock_timeout(connection, removal.what, swap, sleep=sleep)


def _copy_of_remainder(
    connection: Connection, removal: Removal, *, sleep: Callable[[float], None]
) -> Relation | None:
    """The rows that stay, in a table of today's shape; None when no row does.

    The foreign keys, whose creation locks threads and users for an instant, come before the rows:
    a thread that is deleted from then on takes its rows from both tables.
    """
    name = f"kept_{removal.month.suffix}"
    names = {
        "kept": sql.Identifier("ops", name),
        "parent": sql.Identifier(ARCHIVED),
        "table": removal.table.identifier,
    }
    if _count(connection, removal) == 0:
        connection.execute(statement("archive/drop_kept").format(**names))
        return None
    columns = shared_columns(connection, removal.table, ARCHIVED, what=removal.what)

    def create() -> None:
        with connection.transaction():
            # A dead run's, whose rows are all still in the table that it was copied from.
            connection.execute(statement("archive/drop_kept").format(**names))
            connection.execute(statement("archive/create_kept").format(**names))

    with_escalating_lock_timeout(connection, removal.what, create, sleep=sleep)
    connection.execute(
        statement("archive/copy_kept").format(
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)), **names
        ),
        {"buckets": sorted(removal.buckets)},
    )
    copy = named_relation(connection, name, schema="ops")
    assert copy is not None
    return copy


def _refuse_surplus(
    connection: Connection, removal: Removal, stay: int, copy: Relation | None
) -> None:
    """Refused when the drop would take rows that are not in the copy, or more than announced."""
    if copy is None:
        copied = 0
    else:
        [[copied]] = connection.execute(
            statement("archive/count_rows").format(table=copy.identifier)
        ).fetchall()
    [[rows]] = connection.execute(
        statement("archive/count_rows").format(table=removal.table.identifier)
    ).fetchall()
    if copied != stay or rows - stay > removal.announced:
        raise Refused(
            removal.what,
            cause=f"of {rows:,} rows in {removal.table.qualified} {removal.announced:,} were to "
            f"go, {stay:,} are to stay, and {copied:,} of these are copied",
            next_step="find out who wrote to that table; it stays, and nothing more is removed",
        )


def _count(connection: Connection, removal: Removal) -> int:
    [[rows]] = connection.execute(
        statement("archive/count_kept").format(table=removal.table.identifier),
        {"buckets": sorted(removal.buckets)},
    ).fetchall()
    return int(rows)


def _lock(connection: Connection, table: Relation) -> None:
    connection.execute(statement("archive/lock_alone").format(table=table.identifier))
