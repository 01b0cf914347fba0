"""Which months changed since they were last counted, by signals that leave none out.

**Marks.** Triggers on content_segments append month and user of every inserted, deleted or
changed segment to ops.storage_changes, and a trigger on threads appends every thread that moves
to another book. A mark is written in the transaction that makes the change, so a snapshot sees
the mark exactly when it sees the change. A recomputation reads the marks of its snapshot, counts
what they name in that same snapshot and removes those marks, all in one transaction: a change is
either counted, or its mark is still there for the next run. A change without a mark moves no
byte (the triggers' conditions name every column that counts). Nothing else can move a month's
rows: a book's family is read afresh each time, and memberships don't count. Where few users of a
month are marked, only theirs is counted again.

**Signatures.** What goes past row triggers changes the catalog instead: attaching and
detaching, TRUNCATE, a rewrite, a trigger that was dropped, disabled or replaced, also if it is
back by now (see ``partition_signatures`` in sql/storage). A month's signature is recorded when
it is counted; a month is unchanged only if it has no mark *and* its signature is the recorded
one. No signature (a trigger is off) means: count it every time.

**What happens to the signals.** The marks are an ordinary logged table:

- A crash of the server, a lost connection or a killed run ends transactions, each of which took
  its change and its mark with it, or neither. The same holds for synchronous_commit = off, for a
  failover to a replica and for recovery to a point in time.
- A reset or loss of statistics changes nothing: no statistic is read. (PostgreSQL's counters of
  inserted, updated and deleted rows would not do: they come late, count views and reactions too,
  and a crash sets them to zero.)
- A restored dump has other table and transaction numbers, so every signature differs and every
  month is counted again. So does pg_upgrade. These are false alarms, never misses.

Numbers of transactions and tables are 32 bits wide; a signature could repeat only after one of
them has come round to the very same value. The weekly full recomputation does not look at any
signal before it counts, and reports what the signals missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from psycopg.rows import class_row

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.catalog import locked_relations
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

MOST_USERS: Final = 20_000
"""Marked users of one month that are counted one by one; they are named in the statement."""

USERS_COST: Final = 10
"""A month is counted whole unless it has this many segments for every marked user: a probe of the
user's index costs several times a row of a scan."""

Reason: TypeAlias = Literal[
    "not counted yet",
    "content changed",
    "partition or triggers changed",
    "triggers are off",
    "real sizes changed",
    "left content_segments",
]


@dataclass(frozen=True, slots=True)
class MediaVersion:
    """The newest inventories that ``added`` an object, and that ``altered`` (resized or lost) one.

    Both are 0 without an inventory; with one ``altered`` is at least the first inventory's number,
    so that switching inventories on or off alters every size.
    """

    added: int
    altered: int


ESTIMATES = MediaVersion(0, 0)
"""Recordings and photos count by the specification's estimates."""


@dataclass(frozen=True, slots=True)
class RecordedMonth:
    """What the rollup holds of a month. ``media`` are its recordings and photos."""

    month: date
    segments: int
    media: int
    unsized: int
    signature: str | None
    media_added: int
    media_altered: int


@dataclass(frozen=True, slots=True)
class _Mark:
    month: date
    users: int
    user_ids: list[UUID] | None


@dataclass(frozen=True, slots=True)
class _Partition:
    name: str
    lower: datetime | None
    upper: datetime | None
    signature: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class AttachedMonth:
    """A month of content_segments now: its signature, None if it has none, and its heap bytes."""

    signature: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What a snapshot says of every month.

    ``attached`` has each month of content_segments. ``reasons`` says why a month has to be
    counted; a month without an entry is proven unchanged. ``users`` says whose content of a month
    has to be counted; a month with a reason but without users has to be counted whole.
    """

    attached: Mapping[Month, AttachedMonth]
    reasons: Mapping[Month, Reason]
    users: Mapping[Month, list[UUID]]


def find_changes(connection: Connection, media: MediaVersion) -> Changes:
    """Compare the marks and signatures of the open snapshot with what the rollup was made from.

    Refused when a partition's bounds can't be read as a range of time: its months are unknown.
    """
    attached = _attached_months(connection)
    marks = _marks(connection)
    recorded = _recorded_months(connection)
    reasons: dict[Month, Reason] = {}
    users: dict[Month, list[UUID]] = {}
    for month, now in attached.items():
        was = recorded.get(month)
        # Real sizes matter to all of a month, so they come before the marks of some of it.
        reason = _reason_to_count_whole(now.signature, was, media)
        mark = marks.get(month)
        if reason is None and was is not None and mark is not None:
            reason = "content changed"
            if mark.user_ids is not None and mark.users * USERS_COST <= was.segments:
                users[month] = mark.user_ids
        if reason is not None:
            reasons[month] = reason
    reasons |= {month: "left content_segments" for month in recorded if month not in attached}
    return Changes(attached, dict(sorted(reasons.items())), users)


def _reason_to_count_whole(
    signature: str | None, recorded: RecordedMonth | None, media: MediaVersion
) -> Reason | None:
    if recorded is None:
        return "not counted yet"
    if signature is None:
        return "triggers are off"
    if signature != recorded.signature:
        return "partition or triggers changed"
    if _sizes_changed(recorded, media):
        return "real sizes changed"
    return None


def _marks(connection: Connection) -> dict[Month, _Mark]:
    with connection.cursor(row_factory=class_row(_Mark)) as cursor:
        cursor.execute(statement("storage/marks"), {"most": MOST_USERS})
        return {Month.of(mark.month): mark for mark in cursor}


def _recorded_months(connection: Connection) -> dict[Month, RecordedMonth]:
    with connection.cursor(row_factory=class_row(RecordedMonth)) as cursor:
        cursor.execute(statement("storage/recorded_months"))
        return {Month.of(row.month): row for row in cursor}


def _sizes_changed(recorded: RecordedMonth, media: MediaVersion) -> bool:
    """New objects matter to a month that misses some; resized or lost ones to all that have any."""
    if recorded.media_altered != media.altered:
        return recorded.media > 0
    return recorded.media_added != media.added and recorded.unsized > 0


def _attached_months(connection: Connection) -> dict[Month, AttachedMonth]:
    with connection.cursor(row_factory=class_row(_Partition)) as cursor:
        partitions = cursor.execute(
            statement("storage/partition_signatures"),
            {"locked": list(locked_relations(connection))},
        ).fetchall()
    found: dict[Month, list[_Partition]] = {}
    for partition in partitions:
        for month in _months_of(partition):
            found.setdefault(month, []).append(partition)
    return {month: _together(parts) for month, parts in sorted(found.items())}


def _months_of(partition: _Partition) -> Iterable[Month]:
    """The UTC months that the partition's bounds touch: one, unless it was made by other hands."""
    if partition.lower is None or partition.upper is None:
        raise Refused(
            "storage",
            cause=f"partition {partition.name} has no bounds in time, so its months are unknown",
            next_step="look at the check content_segments_coverage; give the table monthly bounds",
        )
    last = Month.of(partition.upper)
    if last.start == partition.upper:
        last = last.plus(-1)
    return Month.of(partition.lower).until(last)


def _together(partitions: list[_Partition]) -> AttachedMonth:
    signatures = [p.signature for p in partitions if p.signature is not None]
    complete = len(signatures) == len(partitions)
    return AttachedMonth(
        "; ".join(signatures) if complete else None, sum(p.bytes for p in partitions)
    )
