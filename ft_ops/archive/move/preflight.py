"""What is due for the archive, what is in the way, and what a move would lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ft_ops.archive.hold.holds import holds_on
from ft_ops.archive.month.catalog import obstacles
from ft_ops.archive.month.content import HOT
from ft_ops.archive.month.ledger import in_database
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.move.late_rows import late_rows_wait_for
from ft_ops.months import Month
from ft_ops.pg.catalog import partition_sizes, partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

LOCKS: Final = (
    "SHARE UPDATE EXCLUSIVE on content_segments, twice, with a wait for its users in between",
    "ACCESS EXCLUSIVE on the month's partition",
    "SHARE ROW EXCLUSIVE on threads and users, for milliseconds, by the foreign keys",
    "SHARE UPDATE EXCLUSIVE on archived_content_segments",
)
"""What a move locks; each wait ends by lock_timeout and is tried again."""

MONTHS_A_YEAR: Final = 12


@dataclass(frozen=True, slots=True)
class Blocker:
    """Something in the way. One that is not ``fatal`` is only told: the move waits it out."""

    kind: str
    detail: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Preflight:
    """One month before it moves; ``estimated_rows`` is the planner's figure."""

    month: Month
    due_on: datetime
    is_due: bool
    estimated_rows: int
    bytes: int
    blockers: tuple[Blocker, ...]

    @property
    def fatal(self) -> list[str]:
        found = [f"{b.kind}: {b.detail}" for b in self.blockers if b.fatal]
        if not self.is_due:
            found.insert(0, f"it is not due before {self.due_on:%Y-%m-%d}")
        return found


def due_on(month: Month, retention_years: int) -> datetime:
    """The instant from which a month is due: its end, so many years later, UTC."""
    return month.plus(MONTHS_A_YEAR * retention_years).end


def due_months(connection: Connection, retention_years: int, now: datetime) -> list[Month]:
    """The months of content_segments whose time has come, oldest first."""
    months = {p.month for p in partitions_of(connection, HOT) if p.month is not None}
    return sorted(month for month in months if due_on(month, retention_years) <= now)


def preflight(
    connection: Connection,
    month: Month,
    *,
    retention_years: int,
    longest_snapshot_seconds: int,
    now: datetime,
) -> Preflight:
    """Look at a month and at the server, changing nothing."""
    partition = next((p for p in partitions_of(connection, HOT) if p.month == month), None)
    due = due_on(month, retention_years)
    return Preflight(
        month=month,
        due_on=due,
        is_due=due <= now,
        estimated_rows=partition.estimated_rows if partition else 0,
        bytes=partition_sizes(connection, HOT).get(partition.name, 0) if partition else 0,
        blockers=(
            *_detaching(connection, month),
            *_earlier_generation(connection, month),
            *_unknown_content(connection, month),
            *_long_transactions(connection, longest_snapshot_seconds),
            *(
                Blocker("legal hold", f"{hold}; it stops the purge only", fatal=False)
                for hold in holds_on(connection, month)
            ),
        ),
    )


def _detaching(connection: Connection, month: Month) -> list[Blocker]:
    return [
        Blocker("pending detach", f"of {p.name}: archive that month first", fatal=True)
        for p in partitions_of(connection, HOT)
        if p.is_detaching and p.month != month
    ]


def _earlier_generation(connection: Connection, month: Month) -> list[Blocker]:
    if attached_relation(connection, HOT, month) is None:
        return []
    waits_for = late_rows_wait_for(connection, month)
    detail = f"{waits_for}; late rows wait until that has ended"
    return [] if waits_for is None else [Blocker("earlier generation", detail, fatal=True)]


def _unknown_content(connection: Connection, month: Month) -> list[Blocker]:
    """What could not be archived, or brought back: told before anything is moved."""
    standing = in_database(connection, month)
    begun = standing is not None and standing.state == "archiving"
    return [
        Blocker("tables of content", f"{obstacle}: {obstacle.next_step}", fatal=not begun)
        for obstacle in obstacles(connection)
    ]


def _long_transactions(connection: Connection, seconds: int) -> list[Blocker]:
    rows = connection.execute(
        statement("archive/long_transactions"), {"seconds": seconds}
    ).fetchall()
    return [
        Blocker(
            "long transaction",
            f"pid {pid} ({application or 'unnamed'}), open for {age:.0f} s, {state}",
            fatal=False,
        )
        for pid, application, age, state in rows
    ]
