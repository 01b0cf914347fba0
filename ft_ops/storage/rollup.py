"""Counts months of content_segments and brings the rollup and its sums in line.

Everything here runs in the transaction of one snapshot. Arithmetic is the server's, in bigint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.rows import dict_row

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.storage.changes import ESTIMATES, MediaVersion

MONTHS_AT_ONCE: Final = 3
"""Neighbouring months that one statement counts. They share the join with threads, a good third
of a month's time; more of them would outgrow the memory of a hash aggregate."""

Example = Mapping[str, object]
"""A rollup row for people: month, book, user, bytes recorded and bytes counted."""


@dataclass(frozen=True, slots=True)
class CountedMonth:
    """A month after its count; ``differing`` is how many of its rollup rows were not as counted."""

    month: Month
    segments: int
    bytes: int
    differing: int


def count_months(
    connection: Connection,
    months: Sequence[Month],
    signatures: Mapping[Month, str | None],
    media: MediaVersion,
    taken_at: datetime,
) -> list[CountedMonth]:
    """Count neighbouring attached months afresh and write what differs into the rollup and sums.

    The rows that differed stay in the temporary table storage_differences until the next count.
    """
    count = "storage/count_by_estimate" if media == ESTIMATES else "storage/count_by_inventory"
    bounds = {
        "lower": sql.Literal(months[0].start.isoformat()),
        "upper": sql.Literal(months[-1].end.isoformat()),
    }
    differing = _apply_differences(connection, months, statement(count).format(**bounds))
    counted = []
    for month in months:
        row = connection.execute(
            statement("storage/record_month"),
            {
                "month": month.first_day,
                "signature": signatures[month],
                "media_added": media.added,
                "media_altered": media.altered,
                "taken_at": taken_at,
            },
        ).fetchone()
        assert row is not None
        counted.append(CountedMonth(month, row[0], row[1], differing.get(month, 0)))
    return counted


def forget_month(connection: Connection, month: Month) -> CountedMonth:
    """Take a month that has left content_segments out of the rollup and the sums."""
    nothing = statement("storage/count_nothing").format()
    differing = _apply_differences(connection, [month], nothing)
    connection.execute(statement("storage/forget_month"), {"month": month.first_day})
    return CountedMonth(month, 0, 0, differing.get(month, 0))


def show_differences(
    connection: Connection, months: Iterable[Month], *, most: int
) -> list[Example]:
    """The largest differences of the last count in these months."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            statement("storage/show_differences"),
            {"months": [month.first_day for month in months], "most": most},
        )
        return list(cursor)


def finish_sums(connection: Connection) -> None:
    """Drop sums that came to nothing, and add the books up by the families that have them now."""
    for step in ("forget_books", "forget_users", "total_families", "forget_families"):
        connection.execute(statement(f"storage/{step}"))


def rebuild_sums(connection: Connection) -> int:
    """Add every book and user up over all months; returns how many sums were not right."""
    steps = ("drop_wrong_books", "rebuild_books", "drop_wrong_users", "rebuild_users")
    return sum(connection.execute(statement(f"storage/{step}")).rowcount for step in steps)


def neighbours(months: Iterable[Month], most: int = MONTHS_AT_ONCE) -> Iterator[list[Month]]:
    """Group months in order into runs without a gap, of at most ``most``."""
    run: list[Month] = []
    for month in sorted(months):
        if run and (month != run[-1].plus(1) or len(run) == most):
            yield run
            run = []
        run.append(month)
    if run:
        yield run


def _apply_differences(
    connection: Connection, months: Sequence[Month], counted: sql.Composable
) -> dict[Month, int]:
    connection.execute(statement("storage/drop_differences"))
    connection.execute(
        statement("storage/differences").format(
            counted=counted,
            first=sql.Literal(months[0].first_day),
            last=sql.Literal(months[-1].first_day),
        )
    )
    for step in ("delete_vanished", "write_counted", "add_to_books", "add_to_users"):
        connection.execute(statement(f"storage/{step}"))
    rows = connection.execute(statement("storage/count_differences")).fetchall()
    return {Month.of(month): differing for month, differing in rows}
