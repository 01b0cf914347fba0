"""Freezes the partitions of months that are over: once each, as soon as they stand still.

A frozen partition never needs an anti-wraparound vacuum again, and its index-only scans need not
look at the table. Freezing early is cheap: later, each page costs a full-page image in the WAL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.need import MaintenancePlan, TableState, table_state, table_states
from ft_ops.maintenance.tables.vacuum import TableOutcome, maintain_tables
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

CLOSED_FOR: Final = timedelta(days=1)
_TRICKLE: Final = 0.001


@dataclass(frozen=True, slots=True)
class _Sighting:
    """What the journal knows of one partition's physical file."""

    table_oid: int
    file_node: int
    changes: int
    seen_at: datetime
    frozen_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClosedPartition:
    """A partition whose month is over: done, or to be frozen now, or why not yet."""

    table: TableState
    is_done: bool
    waits_for: str = ""


def closed_partitions(
    connection: Connection, named: Collection[str] = (), *, now: datetime, still_for: timedelta
) -> list[ClosedPartition]:
    """Every partition by time whose upper bound has passed by a day, oldest first.

    Of a month that is itself partitioned its partitions are meant: it has no pages of its own.

    With names, those alone, and at once; OpsError for a name that none of them has. Any other may
    be frozen when its counters have moved by less than a row in a thousand since they were seen at
    least ``still_for`` ago. It is done when it was frozen and they haven't moved since.
    """
    sightings = _sightings(connection)
    closed = [
        table
        for table in table_states(connection)
        if not table.is_parent
        and table.upper_bound is not None
        and table.upper_bound + CLOSED_FOR <= now
    ]
    closed.sort(key=lambda table: (table.upper_bound, table.qualified_name))
    judged = [
        _judge(table, sightings.get((table.oid, table.file_node)), now, still_for)
        for table in closed
    ]
    return _named(judged, named) if named else judged


def freeze_closed_partitions(
    connection: Connection,
    named: Collection[str],
    *,
    now: datetime,
    still_for: timedelta,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    log: Callable[[str], None] = lambda line: None,
) -> list[TableOutcome]:
    """Freeze the closed partitions that stand still, or those ``named``; an outcome a partition.

    A frozen partition counts as done once all of its pages are all-visible. When a long snapshot
    kept that from happening, the outcome names it and the next run goes on.
    """
    closed = closed_partitions(connection, named, now=now, still_for=still_for)
    waiting = [c for c in closed if c.waits_for]
    for partition in waiting:
        _see(connection, partition.table, now)
    due = [c.table for c in closed if not c.waits_for and not c.is_done]
    plans = [MaintenancePlan(table, True, True, True, ("its month is over",)) for table in due]
    outcomes = [
        _settle(connection, outcome, now)
        for outcome in maintain_tables(connection, plans, deadline=deadline, clock=clock, log=log)
    ]
    return outcomes + [
        TableOutcome(c.table, "nothing to do", "freeze", (), detail=c.waits_for or "frozen before")
        for c in closed
        if c.is_done or c.waits_for
    ]


def _judge(
    table: TableState, seen: _Sighting | None, now: datetime, still_for: timedelta
) -> ClosedPartition:
    if seen is None:
        waits = f"seen for the first time; frozen once it stands still for {still_for}"
        return ClosedPartition(table, is_done=False, waits_for=waits if still_for else "")
    is_still = abs(table.changes - seen.changes) <= _TRICKLE * max(table.live_rows, 1)
    if seen.frozen_at is not None and is_still:
        return ClosedPartition(table, is_done=True)
    if not is_still and still_for:
        moved = f"{abs(table.changes - seen.changes):,} rows changed since {seen.seen_at:%F %H:%M}"
        return ClosedPartition(table, is_done=False, waits_for=moved)
    if now - seen.seen_at < still_for:
        since = f"unchanged since {seen.seen_at:%F %H:%M}, not yet for {still_for}"
        return ClosedPartition(table, is_done=False, waits_for=since)
    return ClosedPartition(table, is_done=False)


def _named(closed: Sequence[ClosedPartition], named: Collection[str]) -> list[ClosedPartition]:
    chosen = [
        replace(c, waits_for="")
        for c in closed
        if c.table.name in named or c.table.qualified_name in named
    ]
    found = {name for c in chosen for name in (c.table.name, c.table.qualified_name)}
    unknown = sorted(set(named) - found)
    if unknown:
        raise OpsError(
            f"partitions {', '.join(unknown)}",
            cause="none of that name has a month that is over by a day",
            next_step="name partitions of months past, such as content_segments_2024_01",
        )
    return chosen


def _settle(connection: Connection, outcome: TableOutcome, now: datetime) -> TableOutcome:
    """Record a freeze as done only when the table's own page counts say so."""
    if outcome.result != "done":
        return outcome
    after = table_state(connection, outcome.table.oid)
    if after is None:
        return outcome
    if after.visible_pages < after.pages:
        short = f"{after.pages - after.visible_pages:,} of {after.pages:,} pages not all-visible"
        return replace(outcome, table=after, result="held back", detail=short)
    connection.execute(
        statement("maintenance/record_frozen"), {**_sighting_values(after, now), "frozen_at": now}
    )
    return replace(outcome, table=after)


def _see(connection: Connection, table: TableState, now: datetime) -> None:
    connection.execute(statement("maintenance/record_seen"), _sighting_values(table, now))


def _sighting_values(table: TableState, now: datetime) -> dict[str, object]:
    return {
        "table_oid": table.oid,
        "file_node": table.file_node,
        "table_name": table.qualified_name,
        "changes": table.changes,
        "seen_at": now,
        "trickle": _TRICKLE * max(table.live_rows, 1),
    }


def _sightings(connection: Connection) -> dict[tuple[int, int], _Sighting]:
    with connection.cursor(row_factory=class_row(_Sighting)) as cursor:
        rows = cursor.execute(statement("maintenance/seen_partitions")).fetchall()
    return {(row.table_oid, row.file_node): row for row in rows}
