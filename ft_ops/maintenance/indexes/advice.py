"""Indexes that nobody uses, that repeat another, or that are missing. Told, never acted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from ft_ops.pg.beside_locks import Locked, beside_locks
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.sqlfiles import statement

OLD_ENOUGH: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class AdvisedIndex:
    """One index, or one foreign key without one; ``bytes`` is what dropping it would free."""

    schema: str
    table_name: str
    name: str
    bytes: int
    finding: str


@dataclass(frozen=True, slots=True)
class IndexAdvice:
    """What somebody should think about. Each list is ordered, the largest first.

    ``locked`` names tables whose indexes could not be compared.
    """

    unused: tuple[AdvisedIndex, ...]
    duplicate: tuple[AdvisedIndex, ...]
    unindexed_foreign_keys: tuple[AdvisedIndex, ...]
    locked: tuple[str, ...] = ()


def index_advice(connection: Connection, *, now: datetime) -> IndexAdvice:
    """Look through the catalog. An index counts as unused after 30 days without a scan.

    The days count from when `scans_of_our_own` first looked: nobody else knows an index's age.
    """

    def read(locked: Locked) -> IndexAdvice:
        values = {"locked": locked.oids, "before": now - OLD_ENOUGH}
        return IndexAdvice(
            unused=_findings(connection, "unused_indexes", values),
            duplicate=_findings(connection, "duplicate_indexes", values),
            unindexed_foreign_keys=_findings(connection, "unindexed_foreign_keys", values),
            locked=locked.words,
        )

    return beside_locks(connection, "advice on indexes", read)


@contextmanager
def scans_of_our_own(connection: Connection, *, now: datetime) -> Iterator[None]:
    """Take note of which indexes are in use, and keep what the block scans out of that.

    Estimates descend the indexes that they judge: without this, none would ever seem unused.
    """
    _flush_counters(connection)
    connection.execute(statement("maintenance/note_usage"), {"now": now})
    connection.execute(statement("maintenance/forget_usage"))
    try:
        yield
    finally:
        if takes_statements(connection):
            _flush_counters(connection)
            connection.execute(statement("maintenance/note_own_scans"))


def _flush_counters(connection: Connection) -> None:
    # A session's counters reach the others after a second at the earliest, unless it asks.
    connection.execute("SELECT pg_stat_force_next_flush()")


def _findings(
    connection: Connection, name: str, values: Mapping[str, object]
) -> tuple[AdvisedIndex, ...]:
    with connection.cursor(row_factory=class_row(AdvisedIndex)) as cursor:
        return tuple(cursor.execute(statement(f"maintenance/{name}"), values).fetchall())
