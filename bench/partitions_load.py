"""What the application notices while 120 months of both tables are created.

By the function that the run calls, between quiet windows. The load, which writes to both tables, is
that of archive_purge_load. A product query that names no month reads all of them: one result tells
what their mere presence costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench._disturbance import Job, disturbance, stay_quiet, warm_up
from bench.frame import BenchContext, Result
from bench.frame.context import FIRST_MONTH
from bench.frame.load import application_load
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import Connection, connect

MONTHS: Final = tuple(FIRST_MONTH.plus(-120).until(FIRST_MONTH.plus(-1)))
"""The ten years before the sample."""

QUICK_MONTHS: Final = 12

REASON: Final = (
    "It is no lock: see the longest wait. Each new month makes every session plan its statements"
    " anew, and those that name no month are planned, and run, over all months that there are;"
    " with the months there, and nobody creating any, p99 stands beside it in the table"
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    months = MONTHS[-QUICK_MONTHS:] if context.is_quick else MONTHS
    with (
        context.clone(template) as url,
        connect(url, application="bench") as connection,
        application_load(context.sandbox, context.work_dir, url) as load,
    ):
        warm_up(context)
        stay_quiet(context, load, "quiet")
        with load.window("busy"):
            _create(connection, months)
        stay_quiet(context, load, "with them")
    job = Job(
        "partitions_load",
        f"while {len(months)} months of both tables are created",
        template.size,
        reason=REASON,
    )
    yield from disturbance(job, load, ["quiet"], ["busy"])
    there = Job(
        "partitions_load_afterwards",
        f"with those {len(months)} months there",
        template.size,
        goal=None,
    )
    yield next(disturbance(there, load, ["quiet"], ["with them"]))


def _create(connection: Connection, months: Sequence[Month]) -> None:
    for parent in PARENTS:
        created = ensure_months(connection, parent, months)
        assert len(created) == len(months), created
