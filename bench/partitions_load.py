"""What the application notices while 120 months of both tables are created.

The function that the run calls creates them three times, because one time is a few hundred
transactions, too few for a p99. In between the months are dropped again. The load, which writes to
both tables, is that of archive_purge_load. One result says what it costs that they are there, once
every session has planned its statements anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import sql

from bench._disturbance import QUIET_SECONDS, Job, disturb, disturbance, stay_quiet
from bench.frame import BenchContext, Result
from bench.frame.context import FIRST_MONTH
from bench.frame.load import application_load
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months, partition_name
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import with_escalating_lock_timeout

MONTHS: Final = tuple(FIRST_MONTH.plus(-120).until(FIRST_MONTH.plus(-1)))
"""The ten years before the sample."""

QUICK_MONTHS: Final = 12

REPETITIONS: Final = 3

GOAL_AFTERWARDS: Final = 1.3
"""The most that months which are there, and hold nothing, may multiply the application's p99 by."""

SETTLING_SECONDS: Final = 20.0
"""Until each session of the load has come to each of its statements; the rarest begins 2.5 times a
second in one of eight."""

THERE: Final = "with them"

REASON: Final = (
    "It is no lock: see the longest wait. Each new month makes every session plan its statements"
    " anew, over all months that there are; with the months there, and nobody creating any, p99"
    " stands beside it in the table"
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    months = MONTHS[-QUICK_MONTHS:] if context.is_quick else MONTHS
    with (
        context.clone(template) as url,
        connect(url, application="bench") as connection,
        application_load(context.sandbox, context.work_dir, url) as load,
    ):
        quiet, busy = disturb(
            context,
            load,
            lambda: _create(connection, months),
            repetitions=REPETITIONS,
            prepare=lambda: _drop(connection, months),
        )
        _create(connection, months)
        time.sleep(1.0 if context.is_quick else SETTLING_SECONDS)
        stay_quiet(context, load, THERE, 3 * QUIET_SECONDS)
    job = Job(
        "partitions_load",
        f"while {len(months)} months of both tables are created",
        template.size,
        reason=REASON,
    )
    yield from disturbance(job, load, quiet, busy)
    there = Job(
        "partitions_load_afterwards",
        f"with those {len(months)} months there",
        template.size,
        goal=GOAL_AFTERWARDS,
    )
    yield next(disturbance(there, load, quiet, [THERE]))


def _create(connection: Connection, months: Sequence[Month]) -> None:
    for parent in PARENTS:
        created = ensure_months(connection, parent, months)
        assert len(created) == len(months), created


def _drop(connection: Connection, months: Sequence[Month]) -> None:
    """Take these months away, of which some or none are there; nobody works meanwhile."""
    names = [partition_name(parent, month) for parent in PARENTS for month in months]

    def drop() -> None:
        with connection.transaction():
            connection.execute("LOCK TABLE threads, users, content_segments, audit_log")
            connection.execute(
                sql.SQL("DROP TABLE IF EXISTS {}").format(
                    sql.SQL(", ").join(map(sql.Identifier, names))
                )
            )

    with_escalating_lock_timeout(connection, "the months that were created", drop)
