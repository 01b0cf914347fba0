"""What the application notices while a full backup is taken.

barman-cloud copies the whole server, compressed, to the sandbox's S3, and the log that belongs to
it is shipped, as in `full_backup`. Backups and quiet windows alternate. The load is that of
archive_purge_load.
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
    "While barman compresses and the S3 server stores, both of the two cores are busy, and a"
    " request waits for one though barman has the lowest priority; the S3 server, elsewhere another"
    " machine, takes a fifth of the processors' time"
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
