"""The overview's lines on the server: backups and drills, wraparound, bloat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from psycopg.rows import class_row

from ft_ops.backups import newest_verified_backup
from ft_ops.format import human_bytes, human_duration
from ft_ops.health.pictures import sparkline
from ft_ops.health.samples import Point
from ft_ops.overview.lines import Line, Status
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.settings.links import runbook_link

_NEWEST_POINT: Final = {
    "full": timedelta(hours=30),
    "increment": timedelta(hours=9),
    "dump": timedelta(days=35),
}
"""How old the newest backup of a kind may be: the interval of its schedule and some hours."""
_STALE_DRILL: Final = timedelta(hours=36)
_HISTORY: Final = timedelta(days=60)
_BLOATED_SHARE: Final = 0.2
_WARN_AGE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Drill:
    """One restore that was tried."""

    finished_at: datetime
    state: Literal["passed", "failed"]
    backup: str
    recovery_seconds: float | None
    loss_seconds: float | None
    error: str | None


def backup_lines(connection: Connection, settings: Settings, now: datetime) -> Iterator[Line]:
    """The newest verified backup, the newest of each kind, and the last drill."""
    verified = newest_verified_backup(connection)
    if verified is None:
        yield Line(
            "backups",
            Status.BAD,
            "last good backup",
            "none",
            "no backup was restored and found whole",
            runbook_link(settings, "drill_restore"),
        )
    else:
        age = now - verified.restored_to
        yield Line(
            "backups",
            Status.BAD if now - verified.verified_at > _STALE_DRILL else Status.GOOD,
            "last good backup",
            f"{human_duration(age.total_seconds())} old",
            f"{verified.name}, restored and compared {verified.verified_at:%Y-%m-%d %H:%M} UTC",
            runbook_link(settings, "drill_restore"),
        )
    for kind, newest, missing in connection.execute(statement("health/backups_at_a_glance")):
        is_old = newest is None or now - newest > _NEWEST_POINT[kind]
        yield Line(
            "backups",
            Status.BAD if is_old or missing else Status.GOOD,
            f"newest {kind}",
            f"{human_duration((now - newest).total_seconds())} old" if newest else "none",
            f"{missing} are missing at the provider" if missing else "",
            runbook_link(settings, "verify_backups"),
        )
    with connection.cursor(row_factory=class_row(Drill)) as cursor:
        drills = cursor.execute(
            statement("health/recent_drills"), {"since": now - _HISTORY}
        ).fetchall()
    yield _drill_line(drills, settings)


def _drill_line(drills: Sequence[Drill], settings: Settings) -> Line:
    runbook = runbook_link(settings, "drill_restore")
    if not drills:
        return Line("backups", Status.BAD, "last restore drill", "none", "", runbook)
    last = drills[-1]
    times = [
        Point(drill.finished_at, drill.recovery_seconds)
        for drill in drills
        if drill.recovery_seconds is not None
    ]
    if last.state == "failed":
        return Line(
            "backups",
            Status.BAD,
            "last restore drill",
            f"failed {last.finished_at:%Y-%m-%d %H:%M}",
            last.error or "",
            runbook,
            sparkline(times) if times else None,
        )
    loss = last.loss_seconds or 0.0
    return Line(
        "backups",
        Status.GOOD,
        "last restore drill",
        f"back in {human_duration(last.recovery_seconds or 0.0)}",
        f"{last.finished_at:%Y-%m-%d %H:%M} UTC; {human_duration(loss)} of changes would be lost",
        runbook,
        sparkline(times) if times else None,
    )


def wraparound_lines(connection: Connection, settings: Settings) -> Iterator[Line]:
    """How near the server is to forced freezing, and to the end of its transaction ids."""
    row = connection.execute(statement("health/wraparound")).fetchone()
    assert row is not None
    for what, share in zip(("transaction ids", "multixact ids"), row, strict=True):
        status = Status.GOOD
        if share > _WARN_AGE:
            status = Status.BAD if share > 1 else Status.WARNING
        yield Line(
            "maintenance",
            status,
            f"age of {what}",
            f"{share:.0%}",
            "of the age at which autovacuum is forced to freeze",
            runbook_link(settings, "wraparound"),
        )


def bloat_lines(connection: Connection, settings: Settings, now: datetime) -> Iterator[Line]:
    """What rebuilding indexes would give back, and which rebuilds failed."""
    row = connection.execute(statement("health/bloat_at_a_glance")).fetchone()
    assert row is not None
    indexes, size, reclaimable, bloated, estimated_at = row
    if not indexes:
        yield Line("maintenance", Status.UNKNOWN, "index bloat", "never estimated")
        return
    yield Line(
        "maintenance",
        Status.WARNING if reclaimable > _BLOATED_SHARE * size else Status.GOOD,
        "index bloat",
        f"{human_bytes(reclaimable)} of {human_bytes(size)}",
        f"{bloated} of {indexes} indexes are bloated, as of {estimated_at:%Y-%m-%d}",
        runbook_link(settings, "rebuild_bloated_indexes"),
    )
    failed = connection.execute(
        statement("health/failed_rebuilds"), {"since": now - timedelta(days=8)}
    ).fetchall()
    if failed:
        yield Line(
            "maintenance",
            Status.WARNING,
            "failed rebuilds this week",
            str(len(failed)),
            f"{failed[0][0]}: {failed[0][1]}",
            runbook_link(settings, "rebuild_bloated_indexes"),
        )
