"""ops.metric_samples: what was measured when, and how long that is kept.

Figures are dated by the server's clock. What one has dated after now, before it was set right, is
left out wherever figures are read: it would be the newest for as long as it was ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from psycopg.rows import class_row

from ft_ops.clock import MOST_CLOCK_SKEW, other_clock
from ft_ops.pg.connect import Connection, server_time
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.standing import Point

_MEASURED_WITH: Final = {
    "replica_lag_seconds": "connections",
    "slot_retained_bytes": "connections",
    "volume_bytes": "database_bytes",
    "volume_size_bytes": "database_bytes",
    "partition_bytes": "database_bytes",
    "archive_bytes": "database_bytes",
}
"""Metrics of things that there may be none of, and one that is measured with them each time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure. ``metric`` carries its unit at its end; ``subject`` may be empty."""

    metric: str
    subject: str
    value: float


@dataclass(frozen=True, slots=True)
class TimedSample:
    """A figure and when it was taken."""

    metric: str
    subject: str
    value: float
    sampled_at: datetime


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the retention removed: whole chunks of a hypertable, or rows of a plain table.

    ``refusal``: why it removed nothing.
    """

    number: int
    of: Literal["chunks", "rows"]
    refusal: str | None = None

    def __str__(self) -> str:
        return f"none: {self.refusal}" if self.refusal else f"{self.number} {self.of}"


def write_samples(connection: Connection, samples: Iterable[Sample], at: datetime) -> int:
    """Record figures of one moment; how many."""
    taken = list(samples)
    connection.execute(
        statement("health/insert_samples"),
        {
            "at": at,
            "metrics": [sample.metric for sample in taken],
            "subjects": [sample.subject for sample in taken],
            "values": [float(sample.value) for sample in taken],
        },
    )
    return len(taken)


def series(
    connection: Connection, metric: str, subject: str, now: datetime, back: timedelta
) -> list[Point]:
    """One figure over time until now, oldest first."""
    span = _span(now, back)
    with connection.cursor(row_factory=class_row(Point)) as cursor:
        return cursor.execute(
            statement("health/series"), {"metric": metric, "subject": subject, **span}
        ).fetchall()


def latest_samples(connection: Connection, now: datetime, back: timedelta) -> list[TimedSample]:
    """The newest value of every figure that was taken lately."""
    with connection.cursor(row_factory=class_row(TimedSample)) as cursor:
        return cursor.execute(statement("health/latest_samples"), _span(now, back)).fetchall()


def samples_ahead(connection: Connection, now: datetime) -> tuple[int, datetime | None]:
    """How many figures are dated after now, and how far the furthest is."""
    until = _span(now, timedelta())["until"]
    number, furthest = one_row(
        connection.execute(statement("health/samples_ahead"), {"until": until})
    )
    return int(number), furthest


def _span(now: datetime, back: timedelta) -> dict[str, datetime]:
    """From when until when figures count: whoever reads them may have the slower clock."""
    return {"since": now - back, "until": now + MOST_CLOCK_SKEW}


def current_samples(connection: Connection, now: datetime, back: timedelta) -> list[TimedSample]:
    """The newest value of every figure that still stands.

    What is gone, a slot or a replica, is no longer measured: its last figure tells of nothing.
    """
    found = latest_samples(connection, now, back)
    newest: dict[str, datetime] = {}
    for sample in found:
        newest[sample.metric] = max(sample.sampled_at, newest.get(sample.metric, sample.sampled_at))
    return [
        sample
        for sample in found
        if sample.sampled_at >= newest.get(_MEASURED_WITH.get(sample.metric, ""), sample.sampled_at)
        and sample.sampled_at == newest[sample.metric]
    ]


def forget_samples(connection: Connection, now: datetime, keep: timedelta) -> Forgotten:
    """Remove samples that are older than ``keep``, unless nobody knows how old they are.

    ``now`` is what this machine's clock says: by one that is ahead, or a server's that is, much of
    what was kept would be too old. A hypertable loses whole chunks only, so that up to 30 days more
    are kept.
    """
    server = server_time(connection)
    before = server - keep
    refusal = other_clock(now, server)
    if refusal is not None:
        return Forgotten(0, "rows", refusal)
    if _is_hypertable(connection):
        row = connection.execute(statement("health/drop_chunks"), {"before": before}).fetchone()
        return Forgotten(int(row[0]) if row is not None else 0, "chunks")
    deleted = connection.execute(statement("health/delete_samples"), {"before": before})
    return Forgotten(deleted.rowcount, "rows")


def _is_hypertable(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL"
    ).fetchone()
    if row != (True,):
        return False
    return connection.execute(statement("health/samples_are_hypertable")).fetchone() == (True,)
