"""ops.metric_samples: what was measured when, and how long that is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
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
    """What the retention removed: whole chunks of a hypertable, or rows of a plain table."""

    number: int
    of: Literal["chunks", "rows"]


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


def series(connection: Connection, metric: str, subject: str, since: datetime) -> list[Point]:
    """One figure over time, oldest first."""
    with connection.cursor(row_factory=class_row(Point)) as cursor:
        return cursor.execute(
            statement("health/series"), {"metric": metric, "subject": subject, "since": since}
        ).fetchall()


def latest_samples(connection: Connection, since: datetime) -> list[TimedSample]:
    """The newest value of every figure that was taken since."""
    with connection.cursor(row_factory=class_row(TimedSample)) as cursor:
        return cursor.execute(statement("health/latest_samples"), {"since": since}).fetchall()


def current_samples(connection: Connection, since: datetime) -> list[TimedSample]:
    """The newest value of every figure that still stands.

    What is gone, a slot or a replica, is no longer measured: its last figure tells of nothing.
    """
    found = latest_samples(connection, since)
    newest: dict[str, datetime] = {}
    for sample in found:
        newest[sample.metric] = max(sample.sampled_at, newest.get(sample.metric, sample.sampled_at))
    return [
        sample
        for sample in found
        if sample.sampled_at >= newest.get(_MEASURED_WITH.get(sample.metric, ""), sample.sampled_at)
        and sample.sampled_at == newest[sample.metric]
    ]


def forget_samples(connection: Connection, before: datetime) -> Forgotten:
    """Remove samples older than ``before``.

    A hypertable loses whole chunks only, so that up to 30 days more are kept.
    """
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
