"""In the child: the archive's steps as its assets run them, on parameters that JSON can hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import boto3
from botocore.config import Config

from ft_ops.archive.cancellation import cancel as cancel_thaw
from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.month.ledger import in_database, latest, supersede
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.move.move import move_month
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge import remove
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.archive.run import ArchiveRules, ArchiveTarget, Limits, Lock, Run
from ft_ops.archive.thaw.refreeze import refreeze as refreeze_month
from ft_ops.archive.thaw.thaw import ThawRequest, begin, load
from ft_ops.items import Worked
from ft_ops.months import Month
from ft_ops.pg.connect import connected
from ft_ops.pg.locks import only_one
from ft_ops.s3 import silence, upload
from ft_ops.s3.bucket import Bucket, client_of

RUN = "faults"
RULES = ArchiveRules(
    retention_years=1,
    purge_enabled=True,
    grace=timedelta(0),
    storage_class="DEEP_ARCHIVE",
    lock=None,
    limits=Limits(replication_lag_seconds=60, latency_ms=10_000, longest_pause_seconds=60),
)
PART_BYTES = 1 << 20

# Small enough that a few rows take several parts and several batches, and a test can wait.
upload.PART_BYTES = 4096
remove.BATCH_ROWS = 12
silence.PROBE_SECONDS = 3.0

# Client and model are cached by boto3's default session: read once, before the forks.
boto3.client("s3", region_name="us-east-1")


def move(url: str, bucket: str, month: str) -> None:
    with _at_work(url, bucket, month) as run:
        move_month(run, Month.parse(month))


def archive(url: str, bucket: str, month: str) -> None:
    """Export, proof and freeze, from wherever an earlier run got to."""
    _archive(url, bucket, month, Lock("GOVERNANCE", 30))


def archive_without_lock(url: str, bucket: str, month: str) -> None:
    """The same; an erasure can't remove what is under a lock."""
    _archive(url, bucket, month, None)


def purge(url: str, bucket: str, month: str) -> None:
    with _at_work(url, bucket, month) as run:
        generation = in_database(run.connection, Month.parse(month))
        if generation is None:
            return
        plan = plan_purge(run, generation)
        if plan.decision == "export again":
            supersede(run.connection, generation, "; ".join(plan.changed), RUN)
            return
        purge_month(run, plan, throttle_of(run))


def thaw(url: str, bucket: str, month: str) -> None:
    """Ask for the month and load it: this endpoint's Glacier answers at once."""
    with _at_work(url, bucket, month) as run:
        request = ThawRequest(Month.parse(month), None, "Bulk", 7)
        load(run, begin(run, request, load_prices(None), purpose="thaw"))


def ask(url: str, bucket: str, month: str) -> None:
    """Ask for the month, and load nothing."""
    with _at_work(url, bucket, month) as run:
        request = ThawRequest(Month.parse(month), None, "Bulk", 7)
        begin(run, request, load_prices(None), purpose="thaw")


def cancel(url: str, bucket: str, month: str) -> None:
    """End what `ask` has begun."""
    with _at_work(url, bucket, month) as run:
        if open_thaw(run.connection, Month.parse(month)) is not None:
            cancel_thaw(run, Month.parse(month))


def refreeze(url: str, bucket: str, month: str) -> None:
    with _at_work(url, bucket, month) as run:
        begun = open_thaw(run.connection, Month.parse(month))
        if begun is not None:
            refreeze_month(run, begun, throttle_of(run))


def erase(url: str, bucket: str, month: str) -> None:
    with _at_work(url, bucket, month) as run:
        plans = plan_erasures(run.connection, run.bucket)
        for plan in plans:
            if plan.problem is None and plan.generations:
                request = ThawRequest(plan.month, None, "Bulk", 1)
                erase_month(run, begin(run, request, load_prices(None), purpose="erasure"))
        remove_superseded(run).refuse_failures("superseded archives")
        unknown = tuple(plan.problem for plan in plans if plan.problem is not None)
        Worked((), unknown).refuse_failures("erasure inside archives")


def _archive(url: str, bucket: str, month: str, lock: Lock | None) -> None:
    with _at_work(url, bucket, month) as run:
        generation = latest(run.connection, Month.parse(month))
        assert generation is not None
        archive_content(replace(run, rules=replace(RULES, lock=lock)), generation)


@contextmanager
def _at_work(url: str, bucket: str, month: str) -> Iterator[Run]:
    with (
        connected(url, application="archive") as connection,
        only_one(connection, f"archive {Month.parse(month)}"),
    ):
        target = ArchiveTarget(_bucket(bucket), "archive", PART_BYTES)
        yield Run(connection, url, lambda: target, RULES, RUN, sleep=_briefly)


def _bucket(name: str) -> Bucket:
    """As `open_bucket`, with time-outs that a test can wait for."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=2, read_timeout=2
    )
    return Bucket(name, client_of("s3", region_name="us-east-1", config=config))


def _briefly(seconds: float) -> None:
    time.sleep(min(seconds, 0.2))
