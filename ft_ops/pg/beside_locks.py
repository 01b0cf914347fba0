"""Reads about many tables that wait for none of them.

pg_relation_size, pg_get_indexdef, pg_get_expr and their like open a table, and so wait for whoever
holds it, or waits for it, in ACCESS EXCLUSIVE mode. A statement about all tables would wait for
one of them, and fail with it. So the table of locks is read first, and the statement is told which
tables it must not open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import psycopg
from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.pg.catalog import LockedRelation, locked_relations
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import Holder, lock_timeout
from ft_ops.pg.sqlfiles import statement

T = TypeVar("T")

ACCESS_EXCLUSIVE: Final = ("AccessExclusiveLock",)
ANY_BUT_READING_AND_WRITING: Final = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""The modes that VACUUM, ANALYZE and REINDEX CONCURRENTLY conflict with."""

_ATTEMPTS: Final = 8
# A lock that came after the look is seen by the next one; nobody queues behind us for longer.
_WAIT_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Locked:
    """What was locked at one moment, by oid; empty on most days."""

    relations: Mapping[int, LockedRelation] = field(default_factory=dict)

    @property
    def oids(self) -> list[int]:
        """For a statement's ``= ANY (%(locked)s::oid[])``."""
        return list(self.relations)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(str(relation) for relation in self.relations.values())

    def by(self, *oids: int) -> str:
        """Who locks the first of these that is locked, in words; empty when none is."""
        return next((str(self.relations[oid]) for oid in oids if oid in self.relations), "")


def lockers(connection: Connection, table_oid: int, modes: Sequence[str]) -> list[Holder]:
    """Who holds a table, or a partition of it, in one of these modes; oldest first."""
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(
            statement("pg/table_lock_holders"), {"table": table_oid, "modes": list(modes)}
        ).fetchall()


def beside_locks(connection: Connection, what: str, read: Callable[[Locked], T]) -> T:
    """What ``read`` returns, which is told what it must not open, and is called in a transaction.

    It is called again when a lock came between. An OpsError when one always does.
    """
    for _ in range(_ATTEMPTS):
        locked = Locked(locked_relations(connection))
        try:
            # Put back afterwards, for a caller whose transaction goes on.
            with lock_timeout(connection, _WAIT_MS), connection.transaction():
                return read(locked)
        except psycopg.errors.LockNotAvailable as error:
            reason = str(error).strip()
    raise OpsError(
        what,
        cause=f"tables were locked and freed faster than they could be read: {reason}",
        next_step="run again when whoever changes them is done",
    )
