"""The application's latencies while a month is archived and purged, against those of quiet times.

pgbench runs the product's reads and writes as the application's role, at a fixed rate. A latency is
measured from the moment at which the transaction was due. A month is archived and purged, with
quiet windows before, between and after. Lock waits are sampled from pg_locks every 10 ms. Archive
and purge rest, and the purge pauses when the application becomes slow, as their settings say. The
plots show each step by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from bench._archive import bench_run, rely_on_a_backup
from bench._disturbance import Job, disturbance, stay_quiet, warm_up
from bench.frame import BenchContext, Result, seconds
from bench.frame.load import ApplicationLoad, application_load
from ft_ops.archive.month.ledger import latest
from ft_ops.archive.move.move import move_month
from ft_ops.archive.proof.proof import prove_month
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.archive.run import Limits
from ft_ops.archive.store.export import export_month
from ft_ops.archive.store.freeze import freeze_month
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.pg.locks import only_one
from ft_ops.pg.pace import pace_beside_others
from ft_ops.settings import load_settings

GOAL = 1.5
QUIET_SECONDS = 20.0
A_SECONDS_SEGMENTS = 5_000
"""What a purge is to remove in a second beside the application."""
REASON = (
    "It is no lock: see the longest wait. The slowest transactions, lists of books and searches,"
    " are work for a processor, and the two of this machine share a core: whatever is busy on one"
    " slows the other. The plot shows each step by itself, the profile who was busy meanwhile."
    " The move's detach and attach make every session plan its statements anew, and an export's"
    " sort can't rest half way. On a server of its own, or with more cores, it was not measured"
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    month = template.first
    with (
        context.clone(template) as url,
        application_load(context.sandbox, context.work_dir, url) as load,
    ):
        # What cloning has left the kernel to write, half a minute later, is not the job's doing.
        os.sync()
        warm_up(context)
        stay_quiet(context, load, "quiet first", QUIET_SECONDS)
        _archive(context, url, month, load)
        stay_quiet(context, load, "quiet between", QUIET_SECONDS)
        took = _purge(context, url, month, load)
        stay_quiet(context, load, "quiet last", QUIET_SECONDS)
    # The quiet window before each job comes first: the spread is told by them.
    for work, quiet, steps in (
        (
            "archive",
            ["quiet first", "quiet between", "quiet last"],
            ["move", "export", "prove", "freeze"],
        ),
        ("purge", ["quiet between", "quiet first", "quiet last"], ["plan", "remove"]),
    ):
        job = Job(
            f"archive_purge_load_{work}",
            f"while a month is {work}d",
            template.size,
            goal=GOAL,
            reason=REASON,
        )
        by_step = {step: [f"{work}: {step}"] for step in steps}
        yield from disturbance(job, load, quiet, [work], by_step)
    rate = template.segments_per_month / took
    yield Result(
        name="archive_purge_load_seconds",
        work=f"purge beside the application: {A_SECONDS_SEGMENTS:,} segments",
        against="",
        unit="s",
        ours=A_SECONDS_SEGMENTS / rate,
        goal=1.0,
        n=1,
        spread=0.0,
        size=template.size,
        note=f"{rate:,.0f} segments a second, {took:.1f} s in all: the table's end included",
    )


def _archive(context: BenchContext, url: str, month: Month, load: ApplicationLoad) -> None:
    """As `archived_content_segments` and `content_archive` do it, step by step."""
    with (
        connect(url, application="archive") as connection,
        connect(url, application="archive pace") as beside,
        only_one(connection, f"archive {month}"),
        load.window("archive"),
    ):
        pace = pace_beside_others(beside, load_settings().archive_share_beside_others)
        run = replace(bench_run(connection, url, context.bucket), pace=pace)
        with load.window("archive: move"):
            generation = move_month(run, month).generation
        with load.window("archive: export"):
            generation = export_month(run, generation)
        with load.window("archive: prove"):
            generation = prove_month(run, generation)
        with load.window("archive: freeze"):
            freeze_month(run, generation)


def _purge(context: BenchContext, url: str, month: Month, load: ApplicationLoad) -> float:
    """The seconds of the removal, rests and all."""
    settings = load_settings()
    limits = Limits(
        replication_lag_seconds=settings.purge_pause_replication_lag_seconds,
        latency_ms=settings.purge_pause_latency_ms,
        longest_pause_seconds=settings.purge_longest_pause_seconds,
        share_beside_others=settings.purge_share_beside_others,
    )
    with (
        connect(url, application="archive") as connection,
        only_one(connection, f"archive {month}"),
    ):
        rely_on_a_backup(connection, month)
        generation = latest(connection, month)
        assert generation is not None
        run = bench_run(connection, url, context.bucket, limits)
        with load.window("purge"):
            with load.window("purge: plan"):
                plan = plan_purge(run, generation)
            with load.window("purge: remove"):
                return seconds(lambda: purge_month(run, plan, throttle_of(run)))
