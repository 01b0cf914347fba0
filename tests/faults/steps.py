"""In the child: the archive's steps as its assets run them, on parameters that JSON can hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import boto3
from botocore.config import Config

from ft_ops.archive import remove
from ft_ops.archive.cycle import archive_content
from ft_ops.archive.export import ArchiveTarget
from ft_ops.archive.freeze import Lock
from ft_ops.archive.gates import PurgeRules
from ft_ops.archive.ledger import latest
from ft_ops.archive.move import move_month
from ft_ops.archive.purge import plan_purge, purge_month
from ft_ops.archive.throttle import Limits, Throttle
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.s3 import upload
from ft_ops.s3.bucket import Bucket

# Small enough that a few rows take several parts and several batches.
upload.PART_BYTES = 4096
remove.BATCH_ROWS = 12

# Client and model are cached by boto3's default session: read once, before the forks.
boto3.client("s3", region_name="us-east-1")


def move(url: str, bucket: str, month: str) -> None:
    with _at_work(url, month) as connection:
        move_month(connection, Month.parse(month), run_id="faults", sleep=_briefly)


def archive(url: str, bucket: str, month: str) -> None:
    """Export, proof and freeze, from wherever an earlier run got to."""
    with _at_work(url, month) as connection:
        generation = latest(connection, Month.parse(month))
        assert generation is not None
        archive_content(
            connection,
            url,
            ArchiveTarget(_bucket(bucket), "archive", 1 << 20),
            generation,
            storage_class="DEEP_ARCHIVE",
            lock=Lock("GOVERNANCE", 30),
            run_id="faults",
        )


def purge(url: str, bucket: str, month: str) -> None:
    with _at_work(url, month) as connection:
        generation = latest(connection, Month.parse(month))
        assert generation is not None
        if generation.state == "purged":
            return
        rules = PurgeRules(enabled=True, grace=timedelta(0))
        plan = plan_purge(connection, _bucket(bucket), generation, rules, datetime.now(UTC))
        limits = Limits(replication_lag_seconds=60, latency_ms=10_000, longest_pause_seconds=60)
        throttle = Throttle(connection, limits, lambda line: None)
        purge_month(connection, plan, throttle, run_id="faults", sleep=_briefly)


@contextmanager
def _at_work(url: str, month: str) -> Iterator[Connection]:
    with (
        connect(url, application="archive") as connection,
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
