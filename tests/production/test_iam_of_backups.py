"""The jobs of barman's backups run with exactly what deploy/iam grants them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta

import boto3
import dagster as dg
import pytest
from psycopg import sql

from ft_ops.backups.dump.objects import dump_prefix
from ft_ops.backups.points.bucket_records import (
    read_certificate,
    write_refutation,
    written_verdicts,
)
from ft_ops.definitions import defs
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.schema import load_migrations, run_migrations
from tests.fixtures.quick_programs import quick_programs
from tests.production.gateway import Gateway, gateway
from tests.production.policies import IAM, role_policy, unused

NAMES = {
    "ARCHIVE_BUCKET": "familytales-archive",
    "ARCHIVE_PREFIX": "archive",
    "BACKUP_BUCKET": "familytales-backups",
    "BACKUP_PREFIX": "barman",
}


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A migrated sandbox whose retention keeps one verified full, and deletes."""
    # Small segments: each is compressed whole.
    with sandbox(announce=lambda line: None, wal_segment_mebibytes=4) as opened, quick_programs():
        settings = opened.child_environment(os.environ) | {
            "FT_BACKUP_FLOOR": "1",
            "FT_BACKUP_KEEP_DAYS": "1",
            "FT_BACKUP_RETENTION_APPLY": "true",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with connect(opened.database_url, application="tests") as connection:
            run_migrations(connection, load_migrations())
        yield opened


@pytest.fixture
def guarded(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway(box.s3_endpoint) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", made.url)
        for path in IAM.glob("*.json"):
            made.policies[path.stem] = role_policy(path.stem, NAMES)
        yield made


def run(
    job: str, monkeypatch: pytest.MonkeyPatch, config: Mapping[str, object] | None = None
) -> dg.ExecuteInProcessResult:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", job)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance, run_config={"ops": dict(config or {})}, raise_on_error=False
        )


def leave_a_segment(box: Sandbox) -> None:
    """Have the server put one more segment into the spool."""
    with connect(box.admin_url, application="tests") as connection:
        connection.execute(sql.SQL("SELECT pg_create_restore_point('tests')"))
        connection.execute(sql.SQL("SELECT pg_switch_wal()"))


def leave_half_a_dump(connection: Connection, bucket: Bucket) -> None:
    """What a dump leaves whose process was killed in the middle of its upload."""
    name = "dump-20200101t000000000z"
    connection.execute(
        "INSERT INTO ops.backups (name, kind, provider, state)"
        " VALUES (%s, 'dump', 'barman', 'failed')",
        (name,),
    )
    key = f"{dump_prefix(name)}dump.0000"
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)


def leave_a_user(box: Sandbox) -> str:
    """Somebody whom a backup knows."""
    with connect(box.database_url, application="tests") as connection:
        row = connection.execute(
            "INSERT INTO users (clerk_id, email) VALUES ('a', 'a@example.org') RETURNING id::text"
        ).fetchone()
    assert row is not None
    return str(row[0])


def forget_the_backups(box: Sandbox) -> None:
    """Have the inventory adopt what the bucket holds."""
    with connect(box.database_url, application="tests") as connection:
        connection.execute("TRUNCATE ops.restore_drills, ops.backups")


def leave_a_refutation(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a drill leaves in the bucket that found a backup damaged."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody without a policy here")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    bucket = open_bucket(box.backup_bucket)
    (proof,) = [v for v in written_verdicts(bucket) if v.backup.startswith("full-")]
    record = {**read_certificate(bucket, proof), "run_id": "another", "error": "damaged"}
    write_refutation(bucket, proof.backup, proof.finished_at + timedelta(seconds=1), record)


def assert_exact(guarded: Gateway, job: str, *besides: str) -> None:
    """Nothing was refused, and everything was used but what lies in the folders ``besides``."""
    assert guarded.denied[job] == set()
    left = unused(guarded.policies[job], guarded.used[job])
    assert {resource.rpartition("/")[0].rpartition("/")[2] for _, resource in left} == {*besides}, (
        job
    )


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_each_job_needs_what_it_is_granted(
    box: Sandbox, guarded: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(box.database_url, application="tests") as connection:
        leave_half_a_dump(connection, open_bucket(box.backup_bucket))
    user = leave_a_user(box)
    for job in (
        "take_full_backup",
        "take_incremental_backup",
        "drill_restore",
        "take_monthly_dump",
    ):
        assert run(job, monkeypatch).success, job
        # No drill finds anything here, and nothing was archived or erased so far.
        besides = ["records", "claims", "refutations"] if job == "drill_restore" else []
        assert_exact(guarded, job, *besides)
    one = {"restored_family": {"config": {"user_id": user}}}
    assert run("restore_family", monkeypatch, one).success
    # Nothing is archived here: see the archive's own test.
    assert_exact(guarded, "restore_family", "", "archive")
    with connect(box.database_url, application="tests") as connection:
        connection.execute("DELETE FROM users WHERE id = %s", (user,))
    # Nor is anything searched for a hold.
    lists = ["table=ends_of_shared_rows", "table=proven_segments", "table=subjects"]
    for job, besides in (("ship_archive_records", lists), ("rehearse_erasures", [])):
        assert run(job, monkeypatch).success, job
        assert_exact(guarded, job, *besides)
    leave_a_refutation(box, monkeypatch)
    for job in ("ship_wal", "verify_backups"):
        leave_a_segment(box)
        forget_the_backups(box)
        assert run(job, monkeypatch).success, job
        assert_exact(guarded, job)

    assert run("take_full_backup", monkeypatch).success
    assert run("drill_restore", monkeypatch).success
    assert_exact(guarded, "drill_restore", "refutations")
    assert run("take_full_backup", monkeypatch).success
    assert run("drill_restore", monkeypatch).success
    forget_the_backups(box)
    apply = {"backup_retention": {"config": {"dry_run": False}}}
    assert run("retain_backups", monkeypatch, apply).success
    assert guarded.denied["retain_backups"] == set()
