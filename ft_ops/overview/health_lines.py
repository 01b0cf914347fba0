"""The overview's lines on what this room measured itself, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from ft_ops.format import human_bytes, human_duration
from ft_ops.health.capacity import Outlook
from ft_ops.health.pictures import sparkline
from ft_ops.health.queries import screens
from ft_ops.health.samples import TimedSample, series
from ft_ops.overview.lines import Line, Status
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings
from ft_ops.settings.links import runbook_link

Figures = Mapping[tuple[str, str], TimedSample]
"""The newest figures, by metric and subject."""

_STALE: Final = timedelta(hours=36)
_HISTORY: Final = timedelta(days=60)
_NEARLY_FULL: Final = 0.8
_SOON: Final = timedelta(days=30)


def latency_lines(
    connection: Connection, figures: Figures, settings: Settings, now: datetime
) -> Iterator[Line]:
    """Each screen's p95 against its target, over the last two months."""
    for screen in screens(settings):
        newest = figures.get(("screen_p95_ms", screen.name))
        runbook = runbook_link(settings, "latency_within_targets")
        if newest is None:
            yield Line(
                "latency", Status.WARNING, screen.name, "not measured this week", "", runbook
            )
            continue
        history = series(connection, "screen_p95_ms", screen.name, now - _HISTORY)
        yield Line(
            "latency",
            Status.BAD if newest.value >= screen.target_ms else _age_status(newest, now),
            screen.name,
            f"p95 {newest.value:.1f} ms",
            f"target {screen.target_ms:g} ms{_age_words(newest, now)}",
            runbook,
            sparkline(history, screen.target_ms),
        )


def capacity_lines(
    figures: Figures, outlook: Outlook, settings: Settings, now: datetime
) -> Iterator[Line]:
    """The database's size, its growth, and when the disk is full."""
    newest = figures.get(("database_bytes", ""))
    runbook = runbook_link(settings, "disk_headroom")
    if newest is None:
        yield Line("capacity", Status.WARNING, "database", "not measured this week", "", runbook)
        return
    ahead = outlook.forecast
    growth = (
        f"{human_bytes(ahead.daily_growth)} a day"
        if ahead is not None
        else "too little history for a forecast"
    )
    yield Line(
        "capacity",
        _age_status(newest, now),
        "database",
        human_bytes(newest.value),
        f"{growth}{_age_words(newest, now)}",
        runbook,
        sparkline(outlook.history),
    )
    if settings.database_volume_gb is None:
        yield Line(
            "capacity", Status.UNKNOWN, "disk", "FT_DATABASE_VOLUME_GB is not set", "", runbook
        )
        return
    limit = settings.database_volume_gb * 1e9
    expected = ahead.reaches(limit) if ahead is not None else None
    earliest = ahead.may_reach(limit) if ahead is not None else None
    status = Status.GOOD
    if newest.value >= _NEARLY_FULL * limit:
        status = Status.WARNING
    if earliest is not None and earliest - now.date() <= timedelta(days=settings.disk_warning_days):
        status = Status.WARNING
    if newest.value >= limit or (expected is not None and expected - now.date() <= _SOON):
        status = Status.BAD
    full = f"full about {expected}, {earliest} at the earliest" if expected else "not in two years"
    yield Line(
        "capacity",
        status,
        "disk",
        f"{newest.value / limit:.0%} of {human_bytes(limit)}",
        full if ahead is not None else growth,
        runbook,
    )


def connection_lines(figures: Figures, settings: Settings, now: datetime) -> Iterator[Line]:
    """Connections in use, and the oldest snapshot, when they were last looked at."""
    used = figures.get(("connections", "used"))
    available = figures.get(("connections", "available"))
    snapshot = figures.get(("oldest_snapshot_seconds", ""))
    if used is None or available is None or snapshot is None:
        yield Line("connections", Status.WARNING, "connections", "not looked at this week")
        return
    yield Line(
        "connections",
        Status.WARNING if used.value >= _NEARLY_FULL * available.value else _age_status(used, now),
        "connections",
        f"{used.value:.0f} of {available.value:.0f}",
        f"{used.sampled_at:%H:%M} UTC",
        runbook_link(settings, "connection_headroom"),
    )
    is_old = snapshot.value >= settings.longest_snapshot_seconds
    yield Line(
        "connections",
        Status.WARNING if is_old else Status.GOOD,
        "oldest snapshot",
        human_duration(snapshot.value),
        "it keeps dead rows from being removed" if is_old else "",
        runbook_link(settings, "no_stuck_sessions"),
    )


def _age_status(newest: TimedSample, now: datetime) -> Status:
    return Status.BAD if now - newest.sampled_at > _STALE else Status.GOOD


def _age_words(newest: TimedSample, now: datetime) -> str:
    age = now - newest.sampled_at
    return f", measured {human_duration(age.total_seconds())} ago" if age > _STALE else ""
