"""What the application notices while a full backup is taken.

barman-cloud copies the whole server, compressed, to the sandbox's S3, and the log that belongs to
it is shipped, as in `full_backup`; barman-cloud's session has the lowest priority, and the reading
of every row for the restore point rests between its steps. Backups and quiet windows alternate.
The load is that of archive_purge_load. Without a goal, the same is measured while the S3 server has
the lowest priority as well, since elsewhere it is another machine; while every processor is kept
busy by a loop of that priority, which reads and writes nothing; and while PostgreSQL's own
pg_basebackup reads the server at full speed and keeps nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench._disturbance import Job, disturb, disturbance
from bench._own_server import own_server
from bench._s3_elsewhere import s3_elsewhere
from bench.frame import BenchContext, Result
from bench.frame.context import BACKED_UP_MONTHS
from bench.frame.load import application_load
from ft_ops.pg.supervision.starting import end, start
from ft_ops.sandbox import Sandbox

GOAL: Final = 2.0
_REASON: Final = (
    "barman has the lowest priority, with its whole session, and no slow request waits for a disk:"
    " it waits for one of two processors, behind another session of PostgreSQL's, while the backup"
    " has the second one. Of what PostgreSQL itself spends, nine tenths are the reading of every"
    " row for the restore point, which takes a quarter of the time beside others; the checkpoint"
    " and the archiver take less than a tenth. Loops of this priority that do nothing else cost a"
    " part of what is felt. The S3"
    " server's own share is not what is felt: with the lowest priority, as if it were another"
    " machine's, it is no better. pg_basebackup alone, which neither compresses nor stores, takes"
    " as much as the goal allows"
)
_COPY_SECONDS: Final = 8.0
"""As long as a full backup: one copy to nowhere is over before enough transactions."""


_REPETITIONS: Final = 5
_FEW: Final = 2
"""Repetitions of what has no goal."""


def run(context: BenchContext) -> Iterator[Result]:
    size = f"{context.sizes.segments_per_month:,} segments a month, {BACKED_UP_MONTHS} months"
    taken = Job("backup_load", "while a full backup is taken", size, GOAL, _REASON)
    elsewhere = Job(
        "backup_load_s3_elsewhere", "while a full backup is taken, S3 as if elsewhere", size, None
    )
    loops = Job(
        "backup_load_processors", "while loops of the lowest priority do nothing", size, None
    )
    floor = Job(
        "backup_load_floor", "while pg_basebackup reads the server and keeps nothing", size, None
    )
    with own_server(context) as server:
        box = server.box

        def take_full() -> object:
            return server.take_full(context.log)

        def copy_to_nowhere() -> None:
            _copy_to_nowhere(box, 1.0 if context.is_quick else _COPY_SECONDS)

        def keep_busy() -> None:
            _keep_processors_busy(1.0 if context.is_quick else _COPY_SECONDS)

        def windows(
            job: Job, work: Callable[[], object], repetitions: int
        ) -> tuple[list[str], list[str]]:
            return disturb(context, load, work, repetitions=repetitions, name=job.name)

        with application_load(box, context.work_dir, box.database_url) as load:
            of_taken = windows(taken, take_full, _REPETITIONS)
            with s3_elsewhere():
                of_elsewhere = windows(elsewhere, take_full, _FEW)
            of_loops = windows(loops, keep_busy, _FEW)
            # Last: it completes segments, which a backup would ship.
            of_floor = windows(floor, copy_to_nowhere, _FEW)
    yield from disturbance(taken, load, *of_taken)
    for job, found in ((elsewhere, of_elsewhere), (loops, of_loops), (floor, of_floor)):
        yield next(disturbance(job, load, *found))


def _keep_processors_busy(seconds: float) -> None:
    """By loops that have a backup's place and need nothing else."""
    loop = [sys.executable, "-c", "while True: pass"]
    processes = [
        start(
            loop,
            output=subprocess.DEVNULL,
            complaints=subprocess.DEVNULL,
            gives_way_seconds=10 * seconds,
        )
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        time.sleep(seconds)
    finally:
        for process in processes:
            end(process)


def _copy_to_nowhere(box: Sandbox, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        subprocess.run(
            [
                *(str(box.bin_dir / "pg_basebackup"), f"--dbname={box.admin_url}"),
                *("--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast"),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )
