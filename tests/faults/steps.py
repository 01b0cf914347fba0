"""In the child: the archive's steps as its assets run them, on parameters that JSON can hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import boto3
from botocore.config import Config

from ft_ops.archive.erase.erase import erase_month, remove_superseded
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.month.ledger import latest, supersede
from ft_ops.archive.move.move import move_month
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge import remove
from ft_ops.archive.purge.gates import PurgeRules
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.purge.throttle import Limits, Throttle
from ft_ops.archive.store.export import ArchiveTarget
from ft_ops.archive.store.freeze import Lock
from ft_ops.archive.thaw.ledger import open_thaw
from ft_ops.archive.thaw.refreeze import refreeze as refreeze_month
from ft_ops.archive.thaw.retrieval_cost import load_prices
from ft_ops.archive.thaw.thaw import ThawRequest, begin, load
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.locks import only_one
from ft_ops.s3 import upload
from ft_ops.s3.bucket import Bucket

RUN = "faults"
RULES = PurgeRules(enabled=True, grace=timedelta(0), retention_years=1)
PART_BYTES = 1 << 20

# Small enough that a few rows take several parts and several batches.
upload.PART_BYTES = 4096
remove.BATCH_ROWS = 12

# Client and model are cached by boto3's default session: read once, before the forks.
boto3.client("s3", region_name="us-east-1")


def move(url: str, bucket: str, month: str) -> None:
    with _at_work(url, month) as connection:
        move_month(connection, Month.parse(month), run_id=RUN, sleep=_briefly)


def archive(url: str, bucket: str, month: str) -> None:
    """Export, proof and freeze, from wherever an earlier run got to."""
    _archive(url, bucket, month, Lock("GOVERNANCE", 30))


def archive_without_lock(url: str, bucket: str, month: str) -> None:
    """The same; an erasure can't remove what is under a lock."""
    _archive(url, bucket, month, None)


def purge(url: str, bucket: str, month: str) -> None:
    with _at_work(url, month) as connection:
        generation = latest(connection, Month.parse(month))
        assert generation is not None
        if generation.state == "purged":
            return
        plan = plan_purge(connection, _bucket(bucket), generation, RULES, datetime.now(UTC))
        if plan.decision == "export again":
            supersede(connection, generation, "; ".join(plan.changed), RUN)
            return
        purge_month(connection, plan, _throttle(connection), run_id=RUN, sleep=_briefly)


def thaw(url: str, bucket: str, month: str) -> None:
    """Ask for the month and load it: this endpoint's Glacier answers at once."""
    with _at_work(url, month) as connection:
        place = _bucket(bucket)
        request = ThawRequest(Month.parse(month), None, "Bulk", 7)
        begun = begin(connection, place, request, load_prices(None), purpose="thaw", run_id=RUN)
        load(connection, url, place, begun, sleep=_briefly)


def refreeze(url: str, bucket: str, month: str) -> None:
    with _at_work(url, month) as connection:
        begun = open_thaw(connection, Month.parse(month))
        if begun is None:
            return
        throttle = _throttle(connection)
        refreeze_month(
            connection, _bucket(bucket), begun, RULES, throttle, run_id=RUN, sleep=_briefly
        )


def erase(url: str, bucket: str, month: str) -> None:
    with _at_work(url, month) as connection:
        target = ArchiveTarget(_bucket(bucket), "archive", PART_BYTES)
        for plan in plan_erasures(connection, target.bucket):
            request = ThawRequest(plan.month, None, "Bulk", 1)
            begun = begin(
                connection,
                target.bucket,
                request,
                load_prices(None),
                purpose="erasure",
                run_id=RUN,
            )
            erase_month(
                connection,
                url,
                target,
                begun,
                storage_class="DEEP_ARCHIVE",
                lock=None,
                run_id=RUN,
            )
        remove_superseded(connection, target.bucket)


def _archive(url: str, bucket: str, month: str, lock: Lock | None) -> None:
    with _at_work(url, month) as connection:
        generation = latest(connection, Month.parse(month))
        assert generation is not None
        archive_content(
            connection,
            url,
            ArchiveTarget(_bucket(bucket), "archive", PART_BYTES),
            generation,
            storage_class="DEEP_ARCHIVE",
            lock=lock,
            run_id=RUN,
        )


def _throttle(connection: Connection) -> Throttle:
    limits = Limits(replication_lag_seconds=60, latency_ms=10_000, longest_pause_seconds=60)
    return Throttle(connection, limits, lambda line: None)


@contextmanager
def _at_work(url: str, month: str) -> Iterator[Connection]:
    with (
        connected(url, application="archive") as connection,
        only_one(connection, f"archive {Month.parse(month)}"),
    ):
        yield connection


def _bucket(name: str) -> Bucket:
    """As `open_bucket`, with time-outs that a test can wait for."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=2, read_timeout=2
    )
    return Bucket(name, boto3.client("s3", region_name="us-east-1", config=config))


def _briefly(seconds: float) -> None:
    time.sleep(min(seconds, 0.2))
