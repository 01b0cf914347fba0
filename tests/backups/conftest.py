"""Worlds that are backed up for real, in a sandbox of their own: backups take the whole server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from psycopg import conninfo, sql

from ft_ops.backups.inventory.inventory import follow
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import connect
from ft_ops.pg.server import EMBEDDED_VERSION
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.sample import make_sample
from ft_ops.schema import load_migrations, run_migrations
from tests.backups.world import Standing, World, environment_of, open_world
from tests.fixtures.postgres import Database, drop_earlier_months
from tests.fixtures.quick_programs import quick_programs

_SECOND_DATABASE = "familytales_second"


@pytest.fixture(scope="session")
def template(recent_months: Database) -> Database:
    """Backups are of a box; ledgers and points need no month."""
    return recent_months


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    """A sandbox with two databases of a few hundred rows, and a bucket for each."""
    version = int(os.environ.get("FT_TEST_SANDBOX_VERSION", EMBEDDED_VERSION))
    with (
        # Small segments: each point completes one, which is compressed whole.
        sandbox(announce=lambda line: None, version=version, wal_segment_mebibytes=4) as opened,
        quick_programs(),
    ):
        with connect(opened.database_url, application="tests") as connection:
            month = Month.of(datetime.now(UTC))
            run_migrations(connection, load_migrations())
            # Each backup copies, and each drill checks, what is here.
            drop_earlier_months(connection)
            for parent in PARENTS:
                ensure_months(connection, parent, month.plus(-1).until(month))
            make_sample(
                connection,
                families=2,
                first=month.plus(-1),
                last=month,
                segments_per_month=300,
                seed=1,
                progress=lambda line: None,
            )
            connection.execute("VACUUM (ANALYZE)")
        with connect(opened.admin_url, application="tests") as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE familytales OWNER ft_ops").format(
                    sql.Identifier(_SECOND_DATABASE)
                )
            )
        with environment_of(opened):
            s3 = boto3.client("s3", endpoint_url=opened.backup_endpoint)
            s3.create_bucket(Bucket="standing")
            s3.put_bucket_versioning(
                Bucket="standing", VersioningConfiguration={"Status": "Enabled"}
            )
        yield opened


@pytest.fixture(autouse=True)
def _settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """The sandbox's variables, in each test that has a sandbox."""
    if "box" not in request.fixturenames:
        yield
        return
    with environment_of(request.getfixturevalue("box")):
        yield


@pytest.fixture
def standing(standing_once: Standing) -> Standing:
    """A full and an increment behind it, for tests that only read or put everything back.

    The objects are put back by each test, but not what the ledger concluded while they were out of
    sight: what it set to missing then is complete again in the next test, whichever that is.
    """
    world = standing_once.world
    follow(world.connection, world.provider, world.bucket, lambda line: None)
    return standing_once


@pytest.fixture(scope="session")
def standing_once(box: Sandbox) -> Iterator[Standing]:
    """The backups of `standing`, taken once."""
    with connect(box.database_url, application="tests") as connection:
        with environment_of(box):
            _empty_spool(box)
            world = open_world(connection, box.database_url, _bucket(box, "standing"))
            full = world.full()
            world.write()
            increment = world.increment()
        yield Standing(world, full, increment)


@pytest.fixture
def world(box: Sandbox) -> Iterator[World]:
    """The second database, without any backup."""
    url = conninfo.make_conninfo(box.database_url, dbname=_SECOND_DATABASE)
    with pytest.MonkeyPatch.context() as patch, connect(url, application="tests") as connection:
        patch.setenv("FT_DATABASE_URL", url)
        fresh = open_world(connection, url, _bucket(box, box.backup_bucket))
        fresh.forget_everything()
        _empty_spool(box)
        yield fresh


def _bucket(box: Sandbox, name: str) -> Bucket:
    return open_bucket(name, endpoint_url=box.backup_endpoint)


def _empty_spool(box: Sandbox) -> None:
    """Nothing needs what was written before the first full: shipping it would take long."""
    for segment in box.wal_spool.iterdir():
        segment.unlink()
