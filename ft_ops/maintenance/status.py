"""What is known of the tables' age and of the indexes' bloat."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ft_ops.format import human_bytes
from ft_ops.maintenance.tables.wraparound import wraparound
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status, asked, stale_since

_AREA: Final = "maintenance"
_BLOATED_SHARE: Final = 0.2
_WEEK: Final = timedelta(days=7, hours=12)
"""Age above which the estimates that are made every Sunday were not made last Sunday."""
_LEVELS: Final = {"fine": Status.GOOD, "warn": Status.WARNING, "fail": Status.BAD}


def standings(connection: Connection, _settings: Settings, now: datetime) -> list[Standing]:
    """How near forced freezing is, what rebuilding indexes would give back, what failed."""
    return [
        *asked(_AREA, "age of ids", partial(_ages, connection), section="wraparound"),
        *asked(
            _AREA,
            "index bloat",
            partial(_bloat, connection, now),
            section="rebuild_bloated_indexes",
        ),
        *asked(
            _AREA,
            "failed rebuilds this week",
            partial(_failed_rebuilds, connection, now),
            section="rebuild_bloated_indexes",
        ),
    ]


def _ages(connection: Connection) -> Iterator[Standing]:
    found = wraparound(connection)
    yield Standing(
        _AREA,
        "age of ids",
        _LEVELS[found.level],
        f"{found.share:.0%}",
        "; ".join(found.problems()) or "of the age at which autovacuum is forced to freeze",
        section="wraparound",
    )


def _bloat(connection: Connection, now: datetime) -> Iterator[Standing]:
    row = one_row(connection.execute(statement("maintenance/bloat_at_a_glance")))
    indexes, size, reclaimable, bloated, estimated_at = row
    if not indexes:
        yield Standing(
            _AREA,
            "index bloat",
            Status.UNKNOWN,
            "never estimated yet",
            section="rebuild_bloated_indexes",
        )
        return
    since = stale_since(estimated_at, now, _WEEK)
    is_bloated = reclaimable > _BLOATED_SHARE * size
    yield Standing(
        _AREA,
        "index bloat",
        Status.UNKNOWN if since else Status.WARNING if is_bloated else Status.GOOD,
        f"{human_bytes(reclaimable)} of {human_bytes(size)}",
        f"{bloated} of {indexes} indexes are bloated, as of {estimated_at:%Y-%m-%d}",
        since=since,
        section="rebuild_bloated_indexes",
    )


def _failed_rebuilds(connection: Connection, now: datetime) -> Iterator[Standing]:
    failed = connection.execute(
        statement("maintenance/failed_rebuilds"), {"since": now - timedelta(days=8)}
    ).fetchall()
    yield Standing(
        _AREA,
        "failed rebuilds this week",
        Status.WARNING if failed else Status.GOOD,
        str(len(failed)) if failed else "none",
        f"{failed[0][0]}: {failed[0][1]}" if failed else "",
        section="rebuild_bloated_indexes",
    )
