"""Each scheduled job in a deployment that lacks something: refused with a next step, or done."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import dagster as dg
import psycopg
import pytest
from psycopg import conninfo, sql

from ft_ops.definitions import defs
from ft_ops.sandbox import Sandbox
from tests.fixtures.postgres import Database
from tests.matrix.conftest import LAST
from tests.matrix.world import SCHEDULES, run
from tests.orchestration.test_resources import replica

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

NEED_NOTHING = {"prune_event_logs_daily"}
"""What works in Dagster's own database alone."""


@dataclass(frozen=True)
class Lack:
    """Variables that are unset or have another value, and parts of the database's URL."""

    variables: Mapping[str, str | None] = field(default_factory=dict)
    database: Mapping[str, str] = field(default_factory=dict)
    everything_fails: bool = False


LACKS = {
    "the schema": Lack(database={"dbname": "postgres"}),
    "the right role": Lack(database={"user": "ft_app"}),
    "a role that is known": Lack(database={"user": "nobody"}, everything_fails=True),
    "a server": Lack(database={"port": "1"}, everything_fails=True),
    "a URL": Lack({"FT_DATABASE_URL": None}, everything_fails=True),
    "buckets": Lack({"FT_ARCHIVE_BUCKET": "nowhere-a", "FT_BACKUP_BUCKET": "nowhere-b"}),
    "names of buckets": Lack({"FT_ARCHIVE_BUCKET": None, "FT_BACKUP_BUCKET": None}),
    "an endpoint": Lack({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}),
    "credentials": Lack(
        {
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    ),
    "a folder for files": Lack({"TMPDIR": "/nowhere/tmp"}),
    "a provider of backups": Lack({"FT_BACKUP_PROVIDER": None}),
    "PostgreSQL's programs": Lack({"FT_PG_BIN_DIR": "/nowhere"}),
}


@pytest.fixture
def lacking(box: Sandbox, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lack:
    lack: Lack = request.param
    url = conninfo.make_conninfo(box.database_url, **lack.database)
    given = {"FT_DATABASE_URL": url, **lack.variables}
    for name, value in given.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return lack


@contextmanager
def taking_no_writes(database: Database) -> Iterator[None]:
    """As a replica."""
    alter = sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(database.name))
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(alter + sql.SQL("SET default_transaction_read_only = on"))
        try:
            yield
        finally:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(alter + sql.SQL("RESET default_transaction_read_only"))


@pytest.mark.parametrize("lacking", list(LACKS.values()), ids=list(LACKS), indirect=True)
def test_each_job_names_what_it_lacks(lacking: Lack) -> None:
    done = [name for name in sorted(SCHEDULES) if _is_done(name)]
    assert set(done) >= NEED_NOTHING
    assert not lacking.everything_fails or set(done) <= {*NEED_NOTHING, "make_overview_daily"}, done


def test_each_job_says_that_the_server_takes_no_writes(database: Database) -> None:
    with taking_no_writes(database):
        done = [name for name in sorted(SCHEDULES) if _is_done(name)]
    assert {"full_backup_daily", "check_health_daily", "recompute_storage_daily"}.isdisjoint(done)


def test_each_job_says_that_its_server_is_a_replica(
    box: Sandbox, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replica(place) as url:
        monkeypatch.setenv("FT_DATABASE_URL", url)
        done = {name for name in sorted(SCHEDULES) if _is_done(name)}
    assert done <= {*NEED_NOTHING, "make_overview_daily"}


def _is_done(schedule: str) -> bool:
    """Whether its job succeeds; each of its failures has a next step, and is no defect of ours."""
    job = SCHEDULES[schedule].job_name
    month = LAST.plus(-14).key if defs.resolve_job_def(job).partitions_def is not None else None
    with dg.DagsterInstance.ephemeral() as instance:
        ended = run(instance, job, dg.RunRequest(partition_key=month))
    for failure in ended.failures:
        assert failure.next_step, f"{schedule}: {failure.words}"
        assert "hunter2" not in failure.words
    return ended.success
