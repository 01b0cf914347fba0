"""The application's latencies while months are archived and purged, against quiet ones.

pgbench runs the product's reads and writes as the application's role, at a fixed rate; a latency
counts from the moment that the transaction was due. Quiet windows lie before, between and after
the jobs. Lock waits are sampled from pg_locks every 10 ms. The purge pauses by itself where the
application suffers, as its policy says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench._archive import PART_BYTES, RUN, rely_on_a_backup
from bench.frame import BenchContext, Curve, Result
from bench.frame.load import ApplicationLoad, Window, application_load
from ft_ops.archive.cycle import archive_content
from ft_ops.archive.export import ArchiveTarget
from ft_ops.archive.gates import PurgeRules
from ft_ops.archive.ledger import latest
from ft_ops.archive.move import move_month
from ft_ops.archive.purge import plan_purge, purge_month
from ft_ops.archive.throttle import Limits, Throttle
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.pg.locks import only_one
from ft_ops.policy import load_policy

PER_SECOND = 50
RULES = PurgeRules(enabled=True, grace=timedelta(0))
PERCENTILES = (50, 75, 90, 95, 98, 99)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template()
    months = list(template.first.until(template.first.plus(1 if context.is_quick else 3)))
    quiet_seconds = 4.0 if context.is_quick else 20.0
    with (
        context.clone(template) as url,
        application_load(context, url, per_second=PER_SECOND) as load,
    ):
        time.sleep(quiet_seconds / 2)
        with load.window("quiet 0"):
            time.sleep(quiet_seconds)
        for number, month in enumerate(months, start=1):
            _archive(context, url, month, load)
            with load.window(f"quiet {number}"):
                time.sleep(quiet_seconds)
            _purge(context, url, month, load)
        with load.window("quiet last"):
            time.sleep(quiet_seconds)
    quiet = load.report("quiet 0", *(f"quiet {n + 1}" for n in range(len(months))), "quiet last")
    size = (
        f"{template.size}, {len(months)} of them archived and purged, "
        f"{PER_SECOND} transactions a second"
    )
    for work in ("archive", "purge"):
        busy = load.report(*(f"{work} {month}" for month in months))
        yield from _results(work, busy, quiet, len(months), size)


def _archive(context: BenchContext, url: str, month: Month, load: ApplicationLoad) -> None:
    with (
        connect(url, application="archive") as connection,
        only_one(connection, f"archive {month}"),
        load.window(f"archive {month}"),
    ):
        moved = move_month(connection, month, run_id=RUN)
        archive_content(
            connection,
            url,
            ArchiveTarget(context.bucket, "load", PART_BYTES),
            moved.generation,
            storage_class="DEEP_ARCHIVE",
            lock=None,
            run_id=RUN,
        )


def _purge(context: BenchContext, url: str, month: Month, load: ApplicationLoad) -> None:
    policy = load_policy()
    limits = Limits(
        replication_lag_seconds=policy.purge_pause_replication_lag_seconds,
        latency_ms=policy.purge_pause_latency_ms,
        longest_pause_seconds=policy.purge_longest_pause_seconds,
    )
    with (
        connect(url, application="archive") as connection,
        only_one(connection, f"archive {month}"),
    ):
        rely_on_a_backup(connection, month)
        generation = latest(connection, month)
        assert generation is not None
        with load.window(f"purge {month}"):
            plan = plan_purge(connection, context.bucket, generation, RULES, datetime.now(UTC))
            throttle = Throttle(connection, limits, lambda line: None)
            purge_month(connection, plan, throttle, run_id=RUN)


def _results(work: str, busy: Window, quiet: Window, n: int, size: str) -> Iterator[Result]:
    name = f"archive_purge_load_{work}"
    title = f"application while a month is {work}d"
    curves = tuple(
        Curve(
            label,
            "percentile",
            "latency, ms",
            tuple(float(p) for p in PERCENTILES),
            tuple(window.percentile(p) for p in PERCENTILES),
        )
        for label, window in (("quiet", quiet), (work, busy))
    )
    yield Result(
        name=name,
        work=f"{title}: p99",
        against="quiet p99",
        unit="ms",
        ours=busy.percentile(99),
        reference=quiet.percentile(99),
        goal=1.5,
        n=n,
        spread=0.0,
        size=size,
        curves=curves,
        note=f"{len(busy.latencies):,} transactions in {busy.seconds:.0f} s, "
        f"{len(quiet.latencies):,} quiet ones",
    )
    for suffix, what, value, unit, goal in (
        ("lock_wait", "longest lock wait", busy.longest_lock_wait, "ms", 100.0),
        ("errors", "errors", float(busy.errors), "", 0.0),
    ):
        yield Result(
            name=f"{name}_{suffix}",
            work=f"{title}: {what}",
            against="",
            unit=unit,
            ours=value,
            goal=goal,
            n=n,
            spread=0.0,
            size=size,
        )
