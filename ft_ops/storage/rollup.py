"""Brings the rollup and its sums in line with what was counted.

Everything here runs in the transaction of one snapshot. Arithmetic is the server's, in bigint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.storage.changes import ESTIMATES, AttachedMonth, Changes, MediaVersion

MOST_BYTES_AT_ONCE: Final = 1024 << 20
"""Table bytes that one statement counts, some 900,000 segments. Neighbouring months that fit in
share the join with threads, a good third of a month's time."""

_FEWEST_BYTES_AT_ONCE: Final = 32 << 20
_SLACK: Final = 1.1

_EXAMPLE: Final = ("month", "memory_book_id", "user_id", "recorded_bytes", "counted_bytes")

Example = Mapping[str, object]
"""A rollup row for people: month, book, user, bytes recorded and bytes counted."""


@dataclass(frozen=True, slots=True)
class CountedMonth:
    """A month after its count; ``differing`` is how many of its rollup rows were not as counted."""

    month: Month
    segments: int
    bytes: int
    differing: int


def differences_query(
    months: Sequence[Month], users: Sequence[UUID] | None, media: MediaVersion
) -> sql.Composed:
    """COPY … TO STDOUT of the rows that differ in neighbouring attached months.

    All of a month's rows are compared, or those of ``users`` alone.
    """
    count = "storage/count_by_estimate" if media == ESTIMATES else "storage/count_by_inventory"
    counted = statement(count).format(
        lower=sql.Literal(months[0].start.isoformat()),
        upper=sql.Literal(months[-1].end.isoformat()),
        users=sql.Literal(users),
    )
    return _differences(counted, months, users)


def departed_query(month: Month) -> sql.Composed:
    """The same for a month that has left content_segments: all of its rows differ."""
    return _differences(statement("storage/count_nothing"), [month], None)


def _differences(
    counted: sql.Composable, months: Sequence[Month], users: Sequence[UUID] | None
) -> sql.Composed:
    return statement("storage/differences").format(
        counted=counted,
        first=sql.Literal(months[0].first_day),
        last=sql.Literal(months[-1].first_day),
        users=sql.Literal(users),
    )


def write_differences(connection: Connection, stream: Iterable[bytes]) -> dict[Month, int]:
    """Write what a count found different into the rollup and the sums; how many rows, by month.

    The rows stay in the temporary table storage_differences until the next call.
    """
    connection.execute(statement("storage/empty_differences"))
    with connection.cursor().copy(statement("storage/copy_differences")) as copy:
        for block in stream:
            copy.write(block)
    rows = connection.execute(statement("storage/count_differences")).fetchall()
    if rows:
        for step in ("delete_vanished", "write_counted", "add_to_books", "add_to_users"):
            connection.execute(statement(f"storage/{step}"))
    return {Month.of(month): differing for month, differing in rows}


def record_months(
    connection: Connection,
    months: Mapping[Month, AttachedMonth],
    media: MediaVersion,
    taken_at: datetime,
    differing: Mapping[Month, int],
) -> list[CountedMonth]:
    """Write each month's sums and the signals under which it was counted."""
    rows = connection.execute(
        statement("storage/record_months"),
        {
            "months": [month.first_day for month in months],
            "signatures": [attached.signature for attached in months.values()],
            "media_added": media.added,
            "media_altered": media.altered,
            "taken_at": taken_at,
        },
    ).fetchall()
    found = {Month.of(month): (segments, size) for month, segments, size in rows}
    return [CountedMonth(month, *found[month], differing.get(month, 0)) for month in months]


def forget_month(connection: Connection, month: Month, differing: int) -> CountedMonth:
    """A month that has left content_segments has no sums."""
    connection.execute(statement("storage/forget_month"), {"month": month.first_day})
    return CountedMonth(month, 0, 0, differing)


def unexplained_differences(
    connection: Connection, changes: Changes, *, most: int
) -> tuple[int, list[Example]]:
    """Rows of the last write that no signal had named: how many, and the largest of them."""
    marked = [(month, user) for month, users in changes.users.items() for user in users]
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            statement("storage/unexplained_differences"),
            {
                "whole": [m.first_day for m in changes.reasons if m not in changes.users],
                "months": [month.first_day for month, _ in marked],
                "users": [user for _, user in marked],
                "most": most,
            },
        )
        rows = cursor.fetchall()
    count = int(rows[0]["disagreements"]) if rows else 0
    return count, [{name: row[name] for name in _EXAMPLE} for row in rows]


def correct_sums(
    connection: Connection, owners: Literal["books", "users"], stream: Iterable[bytes]
) -> int:
    """Move sums by what a reader found them to be off; returns how many were."""
    connection.execute(statement("storage/create_corrections"))
    connection.execute(statement("storage/empty_corrections"))
    with connection.cursor().copy(statement("storage/copy_corrections")) as copy:
        for block in stream:
            copy.write(block)
    return connection.execute(statement(f"storage/correct_{owners}")).rowcount


def finish_sums(connection: Connection) -> None:
    """Drop sums that came to nothing, and add the books up by the families that have them now."""
    for step in ("forget_books", "forget_users", "total_families", "forget_families"):
        connection.execute(statement(f"storage/{step}"))


def neighbours(
    months: Mapping[Month, AttachedMonth], readers: int
) -> Iterator[dict[Month, AttachedMonth]]:
    """Group months in order into runs without a gap, about as large for each of ``readers``.

    A run has at most MOST_BYTES_AT_ONCE of tables, or one month.
    """
    share = _share(sum(attached.bytes for attached in months.values()), readers)
    run: dict[Month, AttachedMonth] = {}
    for month, attached in sorted(months.items()):
        full = sum(a.bytes for a in run.values()) + attached.bytes > share
        if run and (full or max(run).plus(1) != month):
            yield run
            run = {}
        run[month] = attached
    if run:
        yield run


def _share(table_bytes: int, readers: int) -> float:
    """Bytes for one statement, so that all readers end their last one at about the same time."""
    rounds = math.ceil(table_bytes / (readers * MOST_BYTES_AT_ONCE)) or 1
    # A little more, because months are not of one size and a small rest would cost a round.
    even = table_bytes / (rounds * readers) * _SLACK
    return min(max(even, _FEWEST_BYTES_AT_ONCE), MOST_BYTES_AT_ONCE)
