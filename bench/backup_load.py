"""What the application notices while a full backup is taken.

barman-cloud copies the whole server, compressed, to the sandbox's S3, and the log that belongs to
it is shipped, as in `full_backup`; barman-cloud's session has the lowest priority. Backups and
quiet windows alternate. The load is that of archive_purge_load.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench._disturbance import Job, disturb, disturbance
from bench._own_server import own_server
from bench.frame import BenchContext, Result
from bench.frame.context import BACKED_UP_MONTHS
from bench.frame.load import application_load

GOAL: Final = 2.0
_REASON: Final = (
    "barman has the lowest priority, with its whole session. The rest has the application's: the"
    " server hashes every row for the restore point, the S3 server, elsewhere another machine,"
    " stores, and this process ships the log, all on the application's two cores. The session that"
    " hashes is not placed lower: while it waits for a processor it may hold the lock of a page"
    " that the application wants"
)


def run(context: BenchContext) -> Iterator[Result]:
    job = Job(
        "backup_load",
        "while a full backup is taken",
        f"{context.sizes.segments_per_month:,} segments a month, {BACKED_UP_MONTHS} months",
        goal=GOAL,
        reason=_REASON,
    )
    with own_server(context) as server:
        box = server.box
        with application_load(box, context.work_dir, box.database_url) as load:
            quiet, busy = disturb(
                context,
                load,
                lambda: server.take_full(context.log),
                repetitions=context.sizes.repetitions,
            )
    yield from disturbance(job, load, quiet, busy)
