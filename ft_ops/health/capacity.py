"""How large everything is, how fast it grows, and what was projected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from ft_ops.archive import stored_bytes
from ft_ops.health.forecast import Forecast, forecast
from ft_ops.health.samples import Sample, series
from ft_ops.months import Month
from ft_ops.pg.catalog import partition_sizes
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.standing import Point
from ft_ops.storage import content_bytes

PROJECTED_SEGMENTS: Final = 150_000
PROJECTED_FAMILIES: Final = 500
PROJECTED_CONTENT_BYTES: Final = 100 * 10**9
"""Growth a month, from the specification's sizing section."""

PARTITIONED: Final = ("content_segments", "archived_content_segments", "audit_log")
_GROWTH_MONTHS: Final = 13
_HISTORY: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table with all of its partitions; TOAST counts as the table's. Rows are an estimate."""

    name: str
    table_bytes: int
    index_bytes: int
    estimated_rows: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What came into being in one month. ``content_bytes`` is None until it was computed."""

    month: Month
    segments: int
    families: int
    users: int
    content_bytes: int | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """One measurement of everything. ``partitions`` and ``archive`` are bytes by name."""

    database_bytes: int
    tables: tuple[TableSize, ...]
    partitions: dict[str, int]
    archive: dict[str, int]
    growth: tuple[Growth, ...]

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


@dataclass(frozen=True, slots=True)
class Outlook:
    """The database's size over time and where it is going. None where history is too short."""

    history: tuple[Point, ...]
    forecast: Forecast | None


def measure_sizes(connection: Connection, now: datetime) -> Sizes:
    """Measure the database, and count what the last thirteen months brought."""
    row = connection.execute(statement("health/database_bytes")).fetchone()
    assert row is not None
    with connection.cursor(row_factory=class_row(TableSize)) as cursor:
        tables = cursor.execute(statement("health/table_sizes")).fetchall()
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
    )


def outlook(connection: Connection, now: datetime) -> Outlook:
    """The recorded sizes of the database, and their forecast."""
    history = series(connection, "database_bytes", "", now - _HISTORY)
    return Outlook(tuple(history), forecast(history))


def beyond_projection(growth: Sequence[Growth], now: datetime, tolerance: float) -> list[str]:
    """What the last whole month brought beyond ``tolerance`` times its projection, in words."""
    month = Month.of(now).plus(-1)
    found = next((entry for entry in growth if entry.month == month), None)
    if found is None:
        return []
    figures: Iterable[tuple[str, int | None, int]] = (
        ("segments", found.segments, PROJECTED_SEGMENTS),
        ("families", found.families, PROJECTED_FAMILIES),
        ("bytes of content", found.content_bytes, PROJECTED_CONTENT_BYTES),
    )
    return [
        f"{count:,} {what} in {month}, {projected:,} were projected"
        for what, count, projected in figures
        if count is not None and count > tolerance * projected
    ]


def _growth(connection: Connection, now: datetime) -> Iterable[Growth]:
    last = Month.of(now)
    first = last.plus(1 - _GROWTH_MONTHS)
    content = content_bytes(connection, first)
    rows = connection.execute(
        statement("health/monthly_growth"), {"first": first.start, "last": last.start}
    ).fetchall()
    for day, segments, families, users in rows:
        month = Month.of(day)
        yield Growth(month, segments, families, users, content.get(month))
