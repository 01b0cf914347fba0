"""How large everything is, how fast it grows, and what was projected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row

from ft_ops.archive import stored_bytes
from ft_ops.health.samples import Sample
from ft_ops.months import Month
from ft_ops.pg.beside_locks import Locked, beside_locks
from ft_ops.pg.catalog import partition_sizes
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import lock_timeout
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.storage import content_bytes

PROJECTED_SEGMENTS: Final = 150_000
PROJECTED_FAMILIES: Final = 500
PROJECTED_CONTENT_BYTES: Final = 100 * 10**9
"""Growth a month, from the specification's sizing section."""

PARTITIONED: Final = ("content_segments", "archived_content_segments", "audit_log")
_GROWTH_MONTHS: Final = 13
_LOCK_WAIT_MS: Final = 250


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table with all of its partitions; TOAST counts as the table's. Rows are an estimate."""

    name: str
    table_bytes: int
    index_bytes: int
    estimated_rows: int


@dataclass(frozen=True, slots=True)
class MonthGrowth:
    """What came into being in one month.

    ``content_bytes`` is None until it was computed, any other figure while its table is locked.
    """

    month: Month
    segments: int | None
    families: int | None
    users: int | None
    content_bytes: int | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """One measurement of everything. ``partitions`` and ``archive`` are bytes by name.

    ``locked`` names what was locked: its sizes are older, and its rows were not counted.
    """

    database_bytes: int
    tables: tuple[TableSize, ...]
    partitions: dict[str, int]
    archive: dict[str, int]
    growth: tuple[MonthGrowth, ...]
    locked: tuple[str, ...] = ()

    def samples(self) -> list[Sample]:
        """What of it is kept in ops.metric_samples."""
        samples = [Sample("database_bytes", "", self.database_bytes)]
        for table in self.tables:
            samples.append(Sample("table_bytes", table.name, table.table_bytes))
            samples.append(Sample("index_bytes", table.name, table.index_bytes))
            samples.append(Sample("estimated_rows", table.name, table.estimated_rows))
        samples += [Sample("partition_bytes", name, size) for name, size in self.partitions.items()]
        samples += [Sample("archive_bytes", name, size) for name, size in self.archive.items()]
        return samples


def measure_sizes(connection: Connection, now: datetime) -> Sizes:
    """Measure the database, and count what the last thirteen months brought. Waits for no table."""
    row = one_row(connection.execute(statement("health/database_bytes")))
    tables, locked = beside_locks(
        connection, "sizes of tables", lambda locked: (_tables(connection, locked), locked)
    )
    return Sizes(
        database_bytes=int(row[0]),
        tables=tuple(tables),
        partitions={
            name: size
            for parent in PARTITIONED
            for name, size in partition_sizes(connection, parent).items()
        },
        archive=stored_bytes(connection),
        growth=tuple(_growth(connection, now)),
        locked=locked.words,
    )


def _tables(connection: Connection, locked: Locked) -> list[TableSize]:
    with connection.cursor(row_factory=class_row(TableSize)) as cursor:
        return cursor.execute(statement("health/table_sizes"), {"locked": locked.oids}).fetchall()


def beyond_projection(growth: Sequence[MonthGrowth], now: datetime, tolerance: float) -> list[str]:
    """What the last whole month brought beyond ``tolerance`` times its projection, in words.

    Or what of it could not be counted.
    """
    month = Month.of(now).plus(-1)
    found = next((entry for entry in growth if entry.month == month), None)
    if found is None:
        return []
    figures: Sequence[tuple[str, int | None, int]] = (
        ("segments", found.segments, PROJECTED_SEGMENTS),
        ("families", found.families, PROJECTED_FAMILIES),
        ("bytes of content", found.content_bytes, PROJECTED_CONTENT_BYTES),
    )
    beyond = [
        f"{count:,} {what} in {month}, {projected:,} were projected"
        for what, count, projected in figures
        if count is not None and count > tolerance * projected
    ]
    uncounted = [
        f"{what} of {month} were not counted: the table is locked"
        for what, count, _ in figures[:2]
        if count is None
    ]
    # Before the first recomputation the room of storage says that it was never done.
    is_counted = any(entry.content_bytes is not None for entry in growth)
    if is_counted and found.segments and found.content_bytes is None:
        uncounted.append(
            f"bytes of content of {month} are not known: recompute_storage has not counted it"
        )
    return beyond + uncounted


def _growth(connection: Connection, now: datetime) -> Iterable[MonthGrowth]:
    last = Month.of(now)
    first = last.plus(1 - _GROWTH_MONTHS)
    content = content_bytes(connection, first)
    with lock_timeout(connection, _LOCK_WAIT_MS):
        families = _by_month(connection, "families_by_month", first)
        users = _by_month(connection, "users_by_month", first)
        for month in first.until(last):
            yield MonthGrowth(
                month=month,
                segments=_count_segments(connection, month),
                families=None if families is None else families.get(month, 0),
                users=None if users is None else users.get(month, 0),
                content_bytes=content.get(month),
            )


def _by_month(connection: Connection, name: str, first: Month) -> dict[Month, int] | None:
    """Rows by month, None while their table is locked."""
    try:
        rows = connection.execute(statement(f"health/{name}"), {"begin": first.start}).fetchall()
    except psycopg.errors.LockNotAvailable:
        return None
    return {Month.of(month): count for month, count in rows}


def _count_segments(connection: Connection, month: Month) -> int | None:
    """None while that month is locked; the others are counted all the same."""
    try:
        # A plan for any month would lock every month.
        row = one_row(
            connection.execute(
                statement("health/count_segments"),
                {"begin": month.start, "end": month.end},
                prepare=False,
            )
        )
    except psycopg.errors.LockNotAvailable:
        return None
    return int(row[0])
