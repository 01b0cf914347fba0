"""An endpoint that takes small parts, a template with a few rows, and a zygote of the steps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from psycopg import sql

from ft_ops.months import Month

from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection, connect
from ft_ops.sandbox import object_store
from ft_ops.sandbox.sample import make_sample
from tests.faults.chaos import Chaos
from tests.faults.runs import zygote
from tests.faults.world import MONTH, World, cloned
from tests.fixtures.postgres import Database


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that points boto3 at an endpoint whose multipart uploads may be tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_UPLOAD_PART_MIN_SIZE", "256")
        with object_store(tmp_path_factory.mktemp("s3")) as endpoint:
            url = endpoint()
            yield {
                "AWS_ENDPOINT_URL": url,
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "tests",
                "AWS_SECRET_ACCESS_KEY": "tests",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
            }


@pytest.fixture(scope="session")
def small_world(template: Database, worker_id: str) -> Iterator[Database]:
    """Three months of 30 segments each, around the month that is archived."""
    with cloned(template, f"ft_faults_{worker_id}") as database:
        with connect(database.url, application="tests") as connection:
            months = list(MONTH.plus(-1).until(MONTH.plus(1)))
            for parent in PARENTS:
                _drop_partitions(connection, parent)
                ensure_months(connection, parent, months)
            make_sample(
                connection,
                families=1,
                first=months[0],
                last=months[-1],
                segments_per_month=30,
                seed=7,
                progress=lambda line: None,
            )
        yield database


@pytest.fixture
def chaos(
    small_world: Database, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Chaos]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    original = World(small_world, "", {}).rows()
    with zygote(["tests.faults.steps"], settings) as started:
        yield Chaos(started, small_world, original)


def _drop_partitions(connection: Connection, parent: str) -> None:
    """A clone costs by the file: the months of today and later are dropped, but for audit_log's."""
    today = Month.of(datetime.now(UTC))
    for partition in partitions_of(connection, parent):
        if parent != "audit_log" or partition.month not in {today, today.plus(1)}:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partition.name)))
