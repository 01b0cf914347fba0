"""What is known of latency, capacity and connections, by the newest figures that were taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ft_ops.format import human_bytes, human_duration
from ft_ops.health.capacity.disk import (
    MAIN,
    SIZE_METRIC,
    USED_METRIC,
    Outlook,
    judge_disk,
    outlook,
)
from ft_ops.health.connections.sessions import FULL, NEARLY_OUT
from ft_ops.health.latency.queries import screens
from ft_ops.health.samples import TimedSample, current_samples, latest_samples, series
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings
from ft_ops.standing import ONCE_A_DAY, Standing, Status, age_in_words, asked, stale_since

_HISTORY: Final = timedelta(days=60)
_LOOKED_AT: Final = timedelta(days=7)
_ONCE_AN_HOUR: Final = timedelta(hours=2)
_NOT_MEASURED: Final = "not measured this week"


def standings(connection: Connection, settings: Settings, now: datetime) -> list[Standing]:
    """The screens' latency, the database's size and its disk, its connections."""
    questions = (
        ("latency", "screens", _latency, "latency_within_targets"),
        ("capacity", "database", _capacity, "disk_headroom"),
        ("connections", "connections", _connections, "connection_headroom"),
    )
    return [
        standing
        for area, what, question, section in questions
        for standing in asked(
            area, what, partial(question, connection, settings, now), section=section
        )
    ]


def _figures(connection: Connection, now: datetime) -> Mapping[tuple[str, str], TimedSample]:
    """The newest figures, by metric and subject."""
    found = latest_samples(connection, now, _LOOKED_AT)
    return {(sample.metric, sample.subject): sample for sample in found}


def _latency(connection: Connection, settings: Settings, now: datetime) -> Iterator[Standing]:
    """Each screen's p95 against its target, over the last two months."""
    figures = _figures(connection, now)
    section = "latency_within_targets"
    for screen in screens(settings):
        newest = figures.get(("screen_p95_ms", screen.name))
        if newest is None:
            yield Standing("latency", screen.name, Status.UNKNOWN, _NOT_MEASURED, section=section)
            continue
        since = stale_since(newest.sampled_at, now, ONCE_A_DAY)
        met = Status.BAD if newest.value >= screen.target_ms else Status.GOOD
        yield Standing(
            "latency",
            screen.name,
            Status.UNKNOWN if since else met,
            f"p95 {newest.value:.1f} ms",
            f"target {screen.target_ms:g} ms{_age_words(newest, now, since)}",
            since=since,
            section=section,
            history=tuple(series(connection, "screen_p95_ms", screen.name, now, _HISTORY)),
            limit=screen.target_ms,
        )


def _capacity(connection: Connection, settings: Settings, now: datetime) -> Iterator[Standing]:
    """The database's size, and for each volume how full it is and when it will be."""
    figures = _figures(connection, now)
    newest = figures.get(("database_bytes", ""))
    section = "disk_headroom"
    if newest is None:
        yield Standing("capacity", "database", Status.UNKNOWN, _NOT_MEASURED, section=section)
        return
    since = stale_since(newest.sampled_at, now, ONCE_A_DAY)
    yield Standing(
        "capacity",
        "database",
        Status.UNKNOWN if since else Status.GOOD,
        human_bytes(newest.value),
        _age_words(newest, now, since).removeprefix(", "),
        since=since,
        section=section,
        history=tuple(series(connection, "database_bytes", "", now, _HISTORY)),
    )
    current = current_samples(connection, now, _LOOKED_AT)
    volumes = [sample for sample in current if sample.metric == USED_METRIC]
    sizes = {sample.subject: sample for sample in current if sample.metric == SIZE_METRIC}
    if not volumes:
        yield Standing("capacity", "disk", Status.UNKNOWN, _NOT_MEASURED, section=section)
    for used in volumes:
        # One that nobody knows any more is no limit, however lately it was known.
        size = sizes.get(used.subject)
        yield _disk(used, size, outlook(connection, now, used.subject), settings, now)


def _disk(
    used: TimedSample,
    size: TimedSample | None,
    ahead: Outlook,
    settings: Settings,
    now: datetime,
) -> Standing:
    state = judge_disk(
        used.subject,
        used.value,
        None if size is None else size.value,
        ahead.forecast,
        today=now.date(),
        warning_days=settings.disk_warning_days,
    )
    since = stale_since(used.sampled_at, now, ONCE_A_DAY)
    return Standing(
        "capacity",
        "disk" if used.subject == MAIN else f"disk of {used.subject}",
        max(state.status, Status.UNKNOWN) if since else state.status,
        state.figure,
        f"{state.reason}{_age_words(used, now, since)}",
        since=since,
        section="disk_headroom",
        history=ahead.history,
        limit=None if size is None else size.value,
    )


def _connections(connection: Connection, settings: Settings, now: datetime) -> Iterator[Standing]:
    """Connections in use, and the oldest snapshot, when they were last looked at."""
    figures = _figures(connection, now)
    used = figures.get(("connections", "used"))
    available = figures.get(("connections", "available"))
    snapshot = figures.get(("oldest_snapshot_seconds", ""))
    section = "connection_headroom"
    if used is None or available is None or snapshot is None:
        yield Standing("connections", "connections", Status.UNKNOWN, _NOT_MEASURED, section=section)
        return
    since = stale_since(used.sampled_at, now, _ONCE_AN_HOUR)
    share = used.value / available.value if available.value > 0 else 1.0
    judged = Status.BAD if share >= NEARLY_OUT else Status.WARNING if share >= FULL else Status.GOOD
    yield Standing(
        "connections",
        "connections",
        Status.UNKNOWN if since else judged,
        f"{used.value:.0f} of {available.value:.0f}",
        f"{used.sampled_at:%H:%M} UTC",
        since=since,
        section=section,
    )
    is_old = snapshot.value >= settings.longest_snapshot_seconds
    yield Standing(
        "connections",
        "oldest snapshot",
        Status.UNKNOWN if since else Status.WARNING if is_old else Status.GOOD,
        human_duration(snapshot.value),
        "it keeps dead rows from being removed" if is_old else "",
        since=since,
        section="no_stuck_sessions",
    )


def _age_words(newest: TimedSample, now: datetime, since: datetime | None) -> str:
    return f", measured {age_in_words(newest.sampled_at, now)}" if since else ""
