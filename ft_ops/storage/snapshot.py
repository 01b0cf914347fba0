"""One snapshot for everything that a recomputation reads, and its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import IsolationLevel
from psycopg.rows import class_row

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import stay_open
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``name`` is PostgreSQL's xmin:xmax:xip, which tells exactly whose work was seen.

    ``lsn`` is the WAL position at that moment, for comparison with backups.
    """

    name: str
    lsn: str
    taken_at: datetime


@contextmanager
def one_snapshot(connection: Connection) -> Iterator[Snapshot]:
    """A REPEATABLE READ transaction for a block, committed at its end.

    content_segments is locked (ACCESS SHARE) before the snapshot is taken. A plain DETACH then
    waits for us, and so does the second half of a concurrent one; the first half either came
    before the snapshot, which hides the partition from the catalog and from queries alike, or
    after it, and then both still see it.
    """
    before = connection.isolation_level
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            # The readers that share the snapshot may count for longer than a time-out.
            stay_open(connection)
            connection.execute(statement("storage/lock_content"))
            with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
                snapshot = one_row(cursor.execute(statement("storage/take_snapshot")))
            yield snapshot
    finally:
        if not connection.closed and not connection.broken:
            connection.isolation_level = before


def latest_snapshot(connection: Connection) -> Snapshot:
    """The snapshot that the totals in the schema ops belong to; Refused when there are none."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        snapshot = cursor.execute(statement("storage/latest_snapshot")).fetchone()
    if snapshot is None:
        raise Refused(
            "storage totals",
            cause="they were never computed, and publishing none would set every total to zero",
            next_step="materialize monthly_storage",
        )
    return snapshot


@dataclass(frozen=True, slots=True)
class FullRecomputation:
    """The newest recomputation of every month, and what it found that no signal had named."""

    taken_at: datetime
    disagreements: int
    examples: list[dict[str, object]]


def first_recomputation(connection: Connection) -> datetime | None:
    """When storage was computed for the first time, in whatever way."""
    row = connection.execute(statement("storage/first_recomputation")).fetchone()
    return row[0] if row is not None else None


def latest_full(connection: Connection) -> FullRecomputation | None:
    """The newest full recomputation, None when there was none yet."""
    with connection.cursor(row_factory=class_row(FullRecomputation)) as cursor:
        return cursor.execute(statement("storage/latest_full")).fetchone()
