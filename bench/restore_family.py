"""One family back from a copy that stands: what a person waits for, however large the database.

The copy is the filled database itself; the live one is a clone of it in which all of one family's
segments were deleted. What is measured is the whole of `restore_subject`: reading the copy,
comparing, inserting, and holding the server's count against the chosen rows. The goal is the
person's patience, so there is no reference; the same in a third of the history shows what grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from bench.frame import BenchContext, Result, Samples, seconds
from ft_ops.months import Month
from ft_ops.partitions import partition_name
from ft_ops.pg.connect import Connection, connect
from ft_ops.restore import Decisions, Side, Subject, restore_subject

GOAL = 10.0
GROWTH_GOAL = 1.5
LONGER = 3

_FAMILY = """
    SELECT b.family_id FROM content_segments AS s JOIN threads AS t ON t.id = s.thread_id
    JOIN memory_books AS b ON b.id = t.memory_book_id
    GROUP BY b.family_id ORDER BY count(*) DESC LIMIT 1
"""
_DELETE = """
    DELETE FROM content_segments WHERE thread_id IN (
        SELECT t.id FROM threads AS t JOIN memory_books AS b ON b.id = t.memory_book_id
        WHERE b.family_id = %s
    )
"""


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    long, rows = _restored(context, months=None)
    short, _ = _restored(context, months=max(1, template.months // LONGER))
    size = f"{template.size}; {rows:,} rows brought back"
    yield Result(
        name="restore_family",
        work="one family restored from a copy that stands",
        against="",
        unit="s",
        ours=long.median,
        goal=GOAL,
        n=long.n,
        spread=long.spread,
        size=size,
    )
    yield Result.comparing(
        long,
        short,
        name="restore_family_growth",
        work="the same",
        against=f"in 1/{LONGER} of the history",
        goal=None,
        size=size,
    )


def _restored(context: BenchContext, months: int | None) -> tuple[Samples, int]:
    """How long it takes in the whole history, or in its last ``months``, and how many rows."""
    template = context.template
    times, rows = [], 0
    with context.clone(template) as copy_url, connect(copy_url, application="bench") as copy:
        if months is not None:
            _forget_all_but(copy, template.first.until(template.last), months)
        row = copy.execute(_FAMILY).fetchone()
        assert row is not None
        family: UUID = row[0]
        for _ in range(context.sizes.repetitions):
            with context.clone(template) as url, connect(url, application="bench") as live:
                if months is not None:
                    _forget_all_but(live, template.first.until(template.last), months)
                live.execute(_DELETE, (family,))
                live.execute("ANALYZE")

                def restore(live: Connection = live) -> None:
                    nonlocal rows
                    plan = restore_subject(
                        Side.of(copy),
                        live,
                        Subject("family", family),
                        source="the bench",
                        as_of=None,
                        decisions=Decisions(),
                        apply=True,
                        run_id="bench",
                    )
                    rows = plan.inserts

                times.append(seconds(restore))
    return Samples(tuple(times)), rows


def _forget_all_but(connection: Connection, months: Iterator[Month], newest: int) -> None:
    for month in list(months)[:-newest]:
        connection.execute(f"TRUNCATE {partition_name('content_segments', month)}")
        connection.execute(
            "DELETE FROM content_segment_keys WHERE created_at >= %s AND created_at < %s",
            (month.start, month.end),
        )
    connection.execute("ANALYZE")
