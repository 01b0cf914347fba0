"""The doctor looks at everything the jobs need, names what is wrong, and says how to mend it."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import boto3
import psycopg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance import DagsterInstance
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo
from psycopg import conninfo
from sqlalchemy import URL

from ft_ops.cli import commands
from ft_ops.doctor import Finding, examine
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import embedded_binaries
from ft_ops.s3.bucket import Bucket, open_bucket
from tests.archive.world import World
from tests.fixtures.postgres import Database
from tests.production.policies import REPOSITORY
from tests.production.test_bucket import protect

NOW = datetime.now(UTC)


@pytest.fixture
def deployment(world: World, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A migrated database, a verified backup and a protected bucket; no Dagster yet."""
    protect(world.bucket)
    archive = f"{world.bucket.name}-archive"
    if archive not in {b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]}:
        boto3.client("s3").create_bucket(Bucket=archive, ObjectLockEnabledForBucket=True)
    protect(open_bucket(archive))
    world.verified_backup()
    for name, value in {
        "FT_DATABASE_URL": world.database.url,
        "FT_ARCHIVE_BUCKET": archive,
        "FT_BACKUP_BUCKET": world.bucket.name,
        "FT_BACKUP_PROVIDER": "rds",
        "FT_RDS_INSTANCE": "familytales",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return monkeypatch


@pytest.fixture
def dagster_home(deployment: pytest.MonkeyPatch, empty_database: Database, tmp_path: Path) -> Path:
    """A DAGSTER_HOME with the project's settings over a database of its own."""
    parts = conninfo.conninfo_to_dict(empty_database.admin_url)
    url = URL.create(
        "postgresql+psycopg2",
        username=str(parts["user"]),
        password=str(parts["password"]) if "password" in parts else None,
        database=str(parts["dbname"]),
        query={"host": str(parts["host"]), "port": str(parts.get("port", 5432))},
    )
    deployment.setenv("FT_DAGSTER_DATABASE_URL", url.render_as_string(hide_password=False))
    deployment.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copyfile(REPOSITORY / "dagster.yaml", tmp_path / "dagster.yaml")
    return tmp_path


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(NOW)}


def admin(database: Database, statement: str) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def make_rds_instance(*, keeps_days: int) -> None:
    client = boto3.client("rds")
    if not client.describe_db_instances()["DBInstances"]:
        client.create_db_instance(
            DBInstanceIdentifier="familytales",
            DBInstanceClass="db.t3.small",
            Engine="postgres",
        )
    client.modify_db_instance(DBInstanceIdentifier="familytales", BackupRetentionPeriod=keeps_days)


def schedule_state(name: str, status: InstigatorStatus) -> InstigatorState:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("ft_ops"), "__repository__")
    return InstigatorState(
        RemoteInstigatorOrigin(repository, name),
        InstigatorType.SCHEDULE,
        status,
        ScheduleInstigatorData("0 0 1 * *", start_timestamp=NOW.timestamp()),
    )


def test_a_healthy_database_and_bucket_pass_in_one_line_each(
    deployment: pytest.MonkeyPatch,
) -> None:
    make_rds_instance(keeps_days=7)
    healthy = [finding for finding in examine(NOW) if finding.name != "Dagster storage"]
    assert [finding for finding in healthy if finding.state == "failed"] == []
    assert [finding.name for finding in healthy] == [
        "settings",
        "database",
        "encryption",
        "migrations",
        "roles",
        "schemas",
        "privileges",
        "extensions",
        "backup provider",
        "restore programs",
        "verified backup",
        "archive bucket",
        "backup bucket",
        "media sizes",
        "evidence",
        "alerts",
    ]


def test_what_is_not_ours_where_names_are_looked_up_is_told(
    deployment: pytest.MonkeyPatch, database: Database
) -> None:
    admin(database, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    with psycopg.connect(database.app_url, autocommit=True) as application:
        application.execute("CREATE DOMAIN public.small AS int")
    admin(database, "GRANT CREATE ON SCHEMA ops TO ft_readonly")
    admin(database, "CREATE SCHEMA ft_ops AUTHORIZATION ft_app")
    schemas = found()["schemas"]
    assert schemas.state == "failed"
    assert schemas.detail == (
        "the schema ft_ops belongs to ft_app; ft_readonly may create objects in the schema ops; "
        "everybody may create objects in the schema public; not ours, nor an administrator's: type "
        "public.small of ft_app"
    )
    assert "DROP it" in schemas.mend
    with psycopg.connect(database.app_url, autocommit=True) as application:
        application.execute("CREATE FUNCTION public.lower(varchar) RETURNS text RETURN 'planted'")
    refused = found()["database"]
    assert refused.state == "failed"
    assert "function public.lower(character varying) of ft_app" in refused.detail


def test_large_objects_are_told(deployment: pytest.MonkeyPatch, database: Database) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as application:
        application.execute("SELECT lo_from_bytea(0, 'a family''s secret')")
    schemas = found()["schemas"]
    assert schemas.state == "failed"
    assert "large objects (1 of ft_app)" in schemas.detail


def test_the_second_bucket_is_looked_at_like_the_first(
    deployment: pytest.MonkeyPatch, second_bucket: Bucket
) -> None:
    deployment.setenv("FT_ARCHIVE_REPLICA_BUCKET", second_bucket.name)
    assert "public access is not blocked" in found()["archive's second bucket"].detail
    protect(second_bucket)
    assert found()["archive's second bucket"].state == "ok"
    second_bucket.client.put_bucket_versioning(
        Bucket=second_bucket.name, VersioningConfiguration={"Status": "Suspended"}
    )
    assert "not versioned" in found()["archive's second bucket"].detail
    deployment.setenv("FT_ARCHIVE_REPLICA_BUCKET", "there-is-none")
    assert found()["archive's second bucket"].state == "failed"


def test_the_command_fails_and_says_how_to_mend(deployment: pytest.MonkeyPatch) -> None:
    deployment.setenv("FT_DATABASE_URL", "postgresql://ft_ops:hunter2@127.0.0.1:1/familytales")
    deployment.delenv("FT_ARCHIVE_BUCKET")
    outcome = CliRunner().invoke(commands, ["doctor"])
    assert outcome.exit_code == 1
    lines = outcome.output.splitlines()
    assert [line for line in lines if line.startswith("failed") and "; mend: " not in line] == []
    assert any("ft_ops@127.0.0.1:1/familytales" in line for line in lines)
    assert any("FT_ARCHIVE_BUCKET: it is not set" in line for line in lines)
    assert "hunter2" not in outcome.output


def test_pending_migrations_are_named(
    deployment: pytest.MonkeyPatch, empty_database: Database
) -> None:
    deployment.setenv("FT_DATABASE_URL", empty_database.url)
    finding = found()["migrations"]
    assert finding.state == "failed"
    assert finding.detail.startswith("pending: 1 initial schema")
    assert finding.mend == "ft-ops migrate run"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("CREATE TABLE foreign_table (); ALTER TABLE foreign_table OWNER TO {admin}", "not own"),
        ("GRANT SELECT ON {partition} TO ft_app", "partitions are granted directly"),
        ("GRANT SELECT (text_content) ON {partition} TO PUBLIC", "{partition} to PUBLIC"),
        (
            (
                "ALTER TABLE content_segments DETACH PARTITION {partition};"
                " GRANT UPDATE (text_content) ON {partition} TO ft_app"
            ),
            "{partition} to ft_app",
        ),
        (
            "ALTER DATABASE {database} OWNER TO {admin}; GRANT CONNECT ON DATABASE {database}"
            + " TO ft_ops",
            "the database does not belong to ft_ops",
        ),
    ],
    ids=[
        "another owner",
        "an open partition",
        "an open column",
        "an open month that stands alone",
        "another's database",
    ],
)
def test_what_opens_or_locks_the_database_is_named(
    deployment: pytest.MonkeyPatch, database: Database, harm: str, told: str
) -> None:
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute(
            "SELECT min(inhrelid::regclass::text), current_user FROM pg_inherits"
            " WHERE inhparent = 'content_segments'::regclass"
        ).fetchone()
    assert row is not None
    admin(database, harm.format(partition=row[0], admin=row[1], database=database.name))
    finding = found()["roles"]
    assert finding.state == "failed"
    assert told.format(partition=row[0]) in finding.detail
    assert "bootstrap.sql" in finding.mend


def test_a_reader_who_may_read_every_familys_partitions_is_named(
    deployment: pytest.MonkeyPatch, database: Database
) -> None:
    """A role belongs to the whole server, and the others' databases are asked with it."""
    assert "passes row level security by" not in found()["roles"].detail
    admin(database, "GRANT pg_read_all_data TO ft_readonly")
    try:
        finding = found()["roles"]
    finally:
        admin(database, "REVOKE pg_read_all_data FROM ft_readonly")
    assert "as a member of pg_read_all_data: REVOKE pg_read_all_data FROM" in finding.detail


def test_a_superuser_is_refused_as_operations_role(
    deployment: pytest.MonkeyPatch, database: Database
) -> None:
    deployment.setenv("FT_DATABASE_URL", database.admin_url)
    assert "is a superuser: connect as ft_ops" in found()["roles"].detail


def test_a_lost_privilege_limits_and_says_what_is_lost(
    deployment: pytest.MonkeyPatch, database: Database
) -> None:
    admin(database, "REVOKE EXECUTE ON FUNCTION pg_create_restore_point(text) FROM ft_ops")
    finding = found()["privileges"]
    assert finding.state == "limited"
    assert "a backup has no point to be restored to" in finding.detail


def test_a_required_extension_that_is_missing_fails(deployment: pytest.MonkeyPatch) -> None:
    deployment.setenv("FT_REQUIRE_EXTENSIONS", "postgis_of_nobody")
    finding = found()["extensions"]
    assert finding.state == "failed"
    assert "postgis_of_nobody not offered by this server" in finding.detail


def test_rds_without_a_retention_keeps_no_log(deployment: pytest.MonkeyPatch) -> None:
    make_rds_instance(keeps_days=0)
    finding = found()["backup provider"]
    assert finding.state == "failed"
    assert "keeps no backups" in finding.detail
    deployment.setenv("FT_RDS_INSTANCE", "another")
    assert "DBInstanceNotFound" in found()["backup provider"].detail


def test_a_server_that_does_not_archive_has_no_backups(
    deployment: pytest.MonkeyPatch, connection: Connection
) -> None:
    row = connection.execute("SELECT current_setting('archive_mode')").fetchone()
    assert row is not None
    deployment.setenv("FT_BACKUP_PROVIDER", "barman")
    finding = found()["backup provider"]
    assert (finding.state == "ok") == (row[0] == "on"), finding
    deployment.setenv("FT_BACKUP_PROVIDER", "pgbackrest")
    deployment.setenv("PATH", "/nowhere")
    assert found()["backup provider"].detail == "pgbackrest: there is no such program on PATH"
    deployment.setenv("FT_BACKUP_PROVIDER", "barman")
    assert "there is no tar" in found()["backup provider"].detail
    deployment.delenv("FT_BACKUP_PROVIDER")
    assert found()["backup provider"].detail == (
        "FT_BACKUP_PROVIDER is not set, so nobody takes backups"
    )


def test_a_drill_needs_the_servers_own_version(
    deployment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deployment.setenv("FT_PG_BIN_DIR", str(embedded_binaries(18)))
    finding = found()["restore programs"]
    assert finding.state == "failed"
    assert "is of PostgreSQL 18, the server of 16" in finding.detail
    deployment.setenv("FT_PG_BIN_DIR", str(tmp_path))
    assert "holds no PostgreSQL that runs" in found()["restore programs"].detail
    deployment.delenv("FT_PG_BIN_DIR")
    deployment.setenv("FT_DRILL_FOLDER", str(tmp_path / "missing"))
    assert "drills can't write" in found()["restore programs"].detail


@pytest.mark.parametrize("share", ["share/extension", "share/postgresql/extension"])
def test_a_drill_needs_the_databases_extensions(
    deployment: pytest.MonkeyPatch, world: World, tmp_path: Path, share: str
) -> None:
    """Without them a drill could not look at everything, and nothing would ever be proven."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").symlink_to(embedded_binaries() / "postgres")
    (tmp_path / share).mkdir(parents=True)
    for (extension,) in world.connection.execute("SELECT extname FROM pg_extension"):
        if extension != "vector":
            (tmp_path / share / f"{extension}.control").touch()
    deployment.setenv("FT_BACKUP_PROVIDER", "barman")
    with psycopg.connect(world.database.admin_url) as admin:
        [programs] = one_row(admin.execute("SELECT setting FROM pg_config() WHERE name = 'BINDIR'"))
    deployment.setenv("FT_PG_BIN_DIR", programs)
    assert found()["restore programs"].state == "ok"
    deployment.setenv("FT_PG_BIN_DIR", str(tmp_path / "bin"))
    finding = found()["restore programs"]
    assert finding.state == "failed"
    assert "has not this database's extensions vector" in finding.detail
    (tmp_path / share / "vector.control").touch()
    assert found()["restore programs"].state == "ok"


def test_what_a_job_needs_only_some_day_is_looked_at_today(
    deployment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = {"FT_ARCHIVE_PRICES_FILE", "FT_METRICS_TEXTFILE"}
    assert not here & found().keys()
    deployment.setenv("FT_ARCHIVE_PRICES_FILE", str(tmp_path / "prices.json"))
    deployment.setenv("FT_METRICS_TEXTFILE", str(tmp_path / "nowhere" / "ft_ops.prom"))
    deployment.setenv("FT_APP_ROLE", "nobody_here")
    deployment.setenv("FT_DRILL_FOLDER", "/proc")
    said = found()
    assert {said[name].state for name in here} == {"failed"}
    assert "prices.json" in said["FT_ARCHIVE_PRICES_FILE"].detail
    assert said["FT_METRICS_TEXTFILE"].detail == f"no file can be made in {tmp_path}/nowhere"
    assert said["roles"].detail == "nobody_here does not exist"
    assert "drills can't write" in said["restore programs"].detail
    (prices,) = (REPOSITORY / "ft_ops" / "archive").rglob("prices.json")
    shutil.copy(prices, tmp_path)
    (tmp_path / "nowhere").mkdir()
    assert not here & found().keys()


def test_an_evidence_key_that_can_not_be_read_is_named(deployment: pytest.MonkeyPatch) -> None:
    assert found()["evidence"].state == "ok"
    deployment.setenv("FT_EVIDENCE_KEY_FILE", "/nowhere/key.pem")
    finding = found()["evidence"]
    assert finding.state == "failed"
    assert "FT_EVIDENCE_KEY_FILE /nowhere/key.pem" in finding.detail
    assert "openssl genpkey" in finding.mend
    deployment.delenv("FT_EVIDENCE_KEY_FILE")
    deployment.setenv("FT_EVIDENCE_KMS_KEY", "alias/nobodys")
    assert (found()["evidence"].state, "alias/nobodys" in found()["evidence"].detail) == (
        "failed",
        True,
    )
    key = boto3.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    deployment.setenv("FT_EVIDENCE_KMS_KEY", key["KeyMetadata"]["KeyId"])
    assert found()["evidence"].detail.startswith("a chain in s3://")


def test_an_inventory_that_is_not_there_is_named(
    deployment: pytest.MonkeyPatch, bucket: Bucket
) -> None:
    deployment.setenv("FT_MEDIA_INVENTORY", f"s3://{bucket.name}/inventory/")
    finding = found()["media sizes"]
    assert (finding.state, finding.detail) == (
        "failed",
        f"s3://{bucket.name}/inventory/ holds nothing",
    )
    bucket.client.put_object(Bucket=bucket.name, Key="inventory/object", Body=b"")
    assert found()["media sizes"].state == "ok"


def test_alerts_that_reach_nobody_are_a_finding(deployment: pytest.MonkeyPatch) -> None:
    assert "nobody is told of a failure" in found()["alerts"].detail
    deployment.setenv("FT_ALERT_EMAIL_TO", "operations@example.org")
    assert "FT_SMTP_URL is not set" in found()["alerts"].detail
    deployment.setenv("FT_SMTP_URL", "smtp://ft:hunter2@mail.example.org")
    deployment.setenv("FT_HEARTBEAT_URL", "https://watch.example.org/hunter2")
    assert found()["alerts"].detail == "by mail, and a heartbeat"


def test_what_may_not_be_read_hides_no_other_finding(
    deployment: pytest.MonkeyPatch, database: Database
) -> None:
    admin(database, "ALTER SCHEMA ops OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA ops FROM ft_ops")
    findings = found()
    assert findings["verified backup"].state == "unknown"
    assert "permission denied for schema ops" in findings["verified backup"].detail
    assert findings["archive bucket"].state == "ok"


def test_a_backup_that_nobody_restored_is_none(
    deployment: pytest.MonkeyPatch, connection: Connection
) -> None:
    connection.execute(
        "UPDATE ops.restore_drills SET restored_to = restored_to - interval '3 days'"
    )
    assert "too old to rely on" in found()["verified backup"].detail
    connection.execute("DELETE FROM ops.restore_drills")
    finding = found()["verified backup"]
    assert (finding.state, finding.detail) == (
        "failed",
        "no backup was ever restored and verified",
    )
    assert "drill_restore" in finding.mend


def test_without_a_dagster_home_nothing_would_be_kept(deployment: pytest.MonkeyPatch) -> None:
    finding = found()["Dagster storage"]
    assert finding.state == "failed"
    assert "DAGSTER_HOME is not set" in finding.detail


def test_dagsters_database_out_of_reach_is_told_without_its_password(
    dagster_home: Path, deployment: pytest.MonkeyPatch
) -> None:
    deployment.setenv(
        "FT_DAGSTER_DATABASE_URL", "postgresql+psycopg2://dagster:hunter2@127.0.0.1:1/dagster"
    )
    # Dagster tries again for twelve seconds.
    deployment.setattr(time, "sleep", lambda seconds: None)
    finding = found()["Dagster storage"]
    assert finding.state == "failed"
    assert "hunter2" not in finding.detail
    assert "Connection refused" in finding.detail
    deployment.delenv("FT_DAGSTER_DATABASE_URL")
    assert found()["Dagster storage"].detail == (
        'environment variable "FT_DAGSTER_DATABASE_URL" which is not set'
    )


def test_dagsters_database_that_takes_nothing_new_is_told(
    dagster_home: Path, empty_database: Database
) -> None:
    """As when its disk is full: heartbeats are changes in place, and arrive all the same."""
    read_only = f"ALTER DATABASE {empty_database.name} {{}} default_transaction_read_only"
    assert found()["Dagster storage"].state == "ok"
    with psycopg.connect(empty_database.admin_url, autocommit=True) as connection:
        connection.execute(f"{read_only.format('SET')} = on".encode())
        finding = found()["Dagster storage"]
        connection.execute(read_only.format("RESET").encode())
    assert finding.state == "failed"
    assert "takes nothing new" in finding.detail
    assert "read-only transaction" in finding.detail
    assert found()["Dagster storage"].state == "ok"


def test_the_daemon_and_the_schedules_are_heard(dagster_home: Path) -> None:
    silent = found()
    assert silent["Dagster storage"].state == "ok"
    assert silent["schedules"].state == "unknown"
    assert "the daemon has not seen" in silent["schedules"].detail
    assert silent["Dagster daemon"].state == "failed"
    assert "SCHEDULER" in silent["Dagster daemon"].detail

    tick = NOW.timestamp()
    with DagsterInstance.get() as instance:
        for daemon in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(tick, daemon, None, []))
        assert found()["Dagster daemon"].state == "ok"
        for kind, process, moment in (("SENSOR", "a", 1), ("BACKFILL", "b", 2), ("ASSET", "a", 3)):
            instance.add_daemon_heartbeat(DaemonHeartbeat(tick + moment, kind, process, []))
        assert "more than one process" in found()["Dagster daemon"].detail

        failing = schedule_state("purge_archived_content_daily", InstigatorStatus.DECLARED_IN_CODE)
        instance.add_instigator_state(failing)
        instance.create_tick(
            TickData(
                failing.instigator_origin_id,
                failing.name,
                InstigatorType.SCHEDULE,
                TickStatus.FAILURE,
                tick,
                error=SerializableErrorInfo("no connection", [], None),
                selector_id=failing.selector_id,
            )
        )
        schedules = found()["schedules"]
        assert schedules.state == "failed"
        assert "last tick failed: purge_archived_content_daily" in schedules.detail

        instance.add_instigator_state(
            schedule_state("archive_old_content_monthly", InstigatorStatus.STOPPED)
        )
    stopped = found()["schedules"]
    assert stopped.detail == "stopped: archive_old_content_monthly"
    assert "FT_PURGE_ENABLED" in stopped.mend
