"""One deployment for all cells of a worker: content of some months, in a sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import boto3
import dagster as dg
import psycopg
import pytest

from ft_ops.definitions import defs
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.sample import make_sample
from tests.fixtures.postgres import Database
from tests.matrix.world import QUIET, requests, run

LAST = Month.of(datetime.now(UTC))
FIRST = LAST.plus(-34)
"""Months before the last twelve are due, as FT_RETENTION_YEARS is 1: each cell moves the next."""

SECOND_BUCKET = "familytales-archive-copy"


@pytest.fixture(scope="package")
def box() -> Iterator[Sandbox]:
    """A sandbox with content, whose environment is this process's own for these tests."""
    before = dict(os.environ)
    with sandbox(announce=lambda line: None) as opened:
        os.environ.update(opened.environment())
        os.environ.update(
            {
                "FT_FIRST_MONTH": FIRST.key[:7],
                "FT_RETENTION_YEARS": "1",
                "FT_PURGE_ENABLED": "true",
                "FT_PURGE_GRACE_DAYS": "0",
                "FT_LATENCY_SAMPLES": "5",
                "FT_REINDEX_MIN_MB": "0",
                "FT_REINDEX_MIN_RECLAIM_MB": "0",
                "FT_DATABASE_VOLUME_GB": "1000000",
                "FT_ARCHIVE_REPLICA_BUCKET": SECOND_BUCKET,
            }
        )
        _make_second_bucket()
        try:
            with dg.DagsterInstance.ephemeral() as instance:
                assert run(instance, "initial_schema").success
            with connect(opened.database_url, application="tests") as connection:
                make_sample(
                    connection,
                    families=3,
                    first=FIRST,
                    last=LAST,
                    segments_per_month=30,
                    seed=1,
                    progress=lambda line: None,
                    until=datetime.now(UTC),
                )
            yield opened
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def instance(box: Sandbox) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def database(box: Sandbox) -> Database:
    """The application's database of the sandbox."""
    return Database("familytales", box.admin_url)


@pytest.fixture
def admin_url(database: Database) -> str:
    return database.admin_url


@pytest.fixture
def folder(place: Path) -> Path:
    return place


@pytest.fixture(scope="package")
def backed_up(box: Sandbox) -> None:
    """A full backup, for a drill to restore."""
    _ended_well([("take_full_backup", None)])


@pytest.fixture(scope="package")
def purgeable(box: Sandbox) -> None:
    """Months that are proven, and a backup after them that was restored: nothing keeps a purge.

    One for each fault that strikes a purge, and one that `purged` takes.
    """
    months = [("archive_old_content", FIRST.plus(number).key) for number in range(12)]
    _ended_well([*months, ("take_full_backup", None), ("drill_restore", None)])


@pytest.fixture(scope="package")
def purged(box: Sandbox, purgeable: None) -> None:
    """One month that is in the archive alone."""
    first, *_ = requests("purge_archived_content_daily")
    with dg.DagsterInstance.ephemeral() as instance:
        ended = run(instance, "purge_archived_content", first)
    assert ended.success, ended.words


@pytest.fixture
def drillable(purged: None, database: Database) -> None:
    """No drill of this month has come to a verdict yet."""
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("DELETE FROM ops.archive_drills")


UNFINISHED = count(13)


@pytest.fixture
def unfinished(box: Sandbox, instance: dg.DagsterInstance) -> None:
    """A month that was moved, and then its run ended: each time another, the last that are due."""
    moved = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey("archived_content_segments")],
        partition_key=LAST.plus(-next(UNFINISHED)).key,
        run_config=QUIET,
    )
    assert moved.success


def _make_second_bucket() -> None:
    """For what copies the archive, and what looks at the copy."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=SECOND_BUCKET)
    s3.put_bucket_versioning(Bucket=SECOND_BUCKET, VersioningConfiguration={"Status": "Enabled"})


def _ended_well(jobs: Sequence[tuple[str, str | None]]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for job, month in jobs:
            ended = run(instance, job, dg.RunRequest(partition_key=month))
            assert ended.success, ended.words
