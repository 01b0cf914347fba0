"""What the catalog says of partitions. It, and no ledger, is the truth about them.

What is read here waits for no table: a question about the size of one that is locked is answered
from the catalog instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row, dict_row

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import Holder, lock_timeout
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_SIZE_WAITS_MS: Final = (50, 50, 50, 50)


@dataclass(frozen=True, slots=True)
class LockedRelation:
    """A table or index that somebody has for himself alone, by its qualified name."""

    name: str
    holder: Holder

    def __str__(self) -> str:
        return f"{self.name} is locked by {self.holder}"


@dataclass(frozen=True, slots=True)
class RelationSize:
    """The bytes of a table with its TOAST, and of its indexes.

    Of one that is locked they are those of its last VACUUM or ANALYZE.
    """

    oid: int
    table_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        return self.table_bytes + self.index_bytes


@dataclass(frozen=True, slots=True)
class Partition:
    """One attached partition. ``estimated_rows`` is the planner's figure, 0 if never analysed.

    ``bounds`` are as the catalog writes them. A default partition has neither ``lower`` nor
    ``upper``. Where one lies outside the years 1000 to 8999, it is an instant at their edge.
    """

    schema: str
    name: str
    bounds: str
    lower: datetime | None
    upper: datetime | None
    is_default: bool
    is_detaching: bool
    estimated_rows: int

    @property
    def month(self) -> Month | None:
        """The UTC month that its bounds are, None when they are anything else."""
        if self.lower is None or self.upper is None:
            return None
        month = Month.of(self.lower)
        return month if (month.start, month.end) == (self.lower, self.upper) else None


def partitions_of(connection: Connection, parent: str) -> list[Partition]:
    """The partitions of ``parent``, ordered by lower bound."""
    with connection.cursor(row_factory=class_row(Partition)) as cursor:
        return cursor.execute(statement("pg/partitions_of"), {"parent": parent}).fetchall()


def partition_sizes(connection: Connection, parent: str) -> dict[str, int]:
    """The bytes of each partition of ``parent`` with its indexes and TOAST, by name."""
    oids: dict[str, int] = dict(
        connection.execute(statement("pg/partition_oids"), {"parent": parent}).fetchall()
    )
    sizes = relation_sizes(connection, oids.values())
    return {name: sizes[oid].bytes for name, oid in oids.items() if oid in sizes}


def locked_relations(connection: Connection) -> dict[int, LockedRelation]:
    """The tables and indexes, by oid, that somebody has for himself alone, and who that is.

    Whatever opens one of them waits, also a question about its size or its definition.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("pg/locked_relations")).fetchall()
    return {
        row.pop("oid"): LockedRelation(name=row.pop("name"), holder=Holder(**row)) for row in rows
    }


def relation_sizes(connection: Connection, tables: Iterable[int]) -> dict[int, RelationSize]:
    """The sizes of tables, by oid; one that is gone is left out. A locked one is waited for never.

    Somebody may lock a table between the look at the locks and the look at its files: then all of
    them are looked at again.
    """
    wanted = list(tables)
    last = len(_SIZE_WAITS_MS) - 1
    for number, wait in enumerate(_SIZE_WAITS_MS):
        try:
            with lock_timeout(connection, wait), connection.transaction():
                locked = wanted if number == last else list(locked_relations(connection))
                with connection.cursor(row_factory=class_row(RelationSize)) as cursor:
                    cursor.execute(
                        statement("pg/relation_sizes"), {"tables": wanted, "locked": locked}
                    )
                    return {size.oid: size for size in cursor}
        except psycopg.errors.LockNotAvailable:
            continue
    raise AssertionError("the last look opens none of them")


def table_exists(connection: Connection, name: str, schema: str = "public") -> bool:
    """Whether a table of that name exists, attached or not."""
    query = "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text)) IS NOT NULL"
    return bool(one_row(connection.execute(query, (schema, name)))[0])
