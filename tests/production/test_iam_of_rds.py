"""The jobs of RDS' backups run with exactly what deploy/iam/rds grants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import boto3
import dagster as dg
import pytest

from ft_ops.backups.jobs import schedules
from ft_ops.backups.points.bucket_records import write_certificate, write_refutation
from ft_ops.definitions import defs
from tests.archive.world import World
from tests.production.gateway import Gateway, gateway
from tests.production.policies import (
    ACCOUNT,
    IAM,
    Action,
    Statement,
    is_allowed,
    role_policy,
    unused,
)
from tests.production.test_iam_of_backups import leave_half_a_dump

INSTANCE = "familytales"
REGIONS = ("us-east-1", "eu-west-1")
DR_KEY = "alias/recovery"
JOBS = sorted(path.stem for path in (IAM / "rds").glob("*.json"))


def policy_of(job: str, bucket: str = "familytales-backups") -> list[Statement]:
    names = {
        "BACKUP_BUCKET": bucket,
        "RDS_INSTANCE": INSTANCE,
        "DR_REGION": REGIONS[1],
    }
    return role_policy(f"rds/{job}", names)


@pytest.fixture
def guarded(world: World, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A deployment on RDS whose instance is protected and lies in a network of its own."""
    _make_instance()
    _make_key()
    for name, value in {
        "FT_DATABASE_URL": world.database.url,
        "FT_BACKUP_PROVIDER": "rds",
        "FT_RDS_INSTANCE": INSTANCE,
        "FT_BACKUP_BUCKET": world.bucket.name,
        "FT_DR_REGION": REGIONS[1],
        "FT_DR_KMS_KEY": DR_KEY,
        "FT_BACKUP_FLOOR": "1",
        "FT_BACKUP_RETENTION_APPLY": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with gateway(s3_endpoint) as made:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.setenv(name, made.url)
        for job in JOBS:
            made.policies[job] = policy_of(job, world.bucket.name)
        yield made
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    _remove_snapshots()


def _make_instance() -> None:
    rds, ec2 = boto3.client("rds"), boto3.client("ec2")
    if any(
        i["DBInstanceIdentifier"] == INSTANCE for i in rds.describe_db_instances()["DBInstances"]
    ):
        rds.delete_db_instance(DBInstanceIdentifier=INSTANCE, SkipFinalSnapshot=True)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = f"private-{vpc}"
    rds.create_db_subnet_group(
        DBSubnetGroupName=group, DBSubnetGroupDescription="private", SubnetIds=[subnet]
    )
    rds.create_db_instance(
        DBInstanceIdentifier=INSTANCE,
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="postgres",
        MasterUserPassword="not a secret",
        BackupRetentionPeriod=7,
        DBSubnetGroupName=group,
    )


def _make_key() -> None:
    kms = boto3.client("kms", region_name=REGIONS[1])
    if all(alias["AliasName"] != DR_KEY for alias in kms.list_aliases()["Aliases"]):
        kms.create_alias(AliasName=DR_KEY, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])


def _remove_snapshots() -> None:
    for region in REGIONS:
        client = boto3.client("rds", region_name=region)
        for snapshot in client.describe_db_snapshots()["DBSnapshots"]:
            client.delete_db_snapshot(DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"])


def run(
    job: str,
    monkeypatch: pytest.MonkeyPatch,
    config: Mapping[str, object] | None = None,
    *,
    user: str = "",
) -> dg.ExecuteInProcessResult:
    """Run a job with the credentials of its own role, or of another."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user or job)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance, run_config={"ops": dict(config or {})}, raise_on_error=False
        )


def config(asset: str, **values: object) -> dict[str, object]:
    return {asset: {"config": values}}


def backups(world: World, kind: str) -> list[str]:
    """The names of the complete ones, by the ledger."""
    found = world.connection.execute(
        "SELECT name FROM ops.backups WHERE kind = %s AND state = 'complete' ORDER BY name", (kind,)
    )
    return [row[0] for row in found]


def forget(world: World, name: str) -> None:
    """Lose the ledger's rows of a backup."""
    for statement in (
        "DELETE FROM ops.restore_drills WHERE backup = %(name)s OR target = %(name)s",
        "DELETE FROM ops.backups WHERE name = %(name)s",
    ):
        world.connection.execute(statement.encode(), {"name": name})


def prove(world: World, name: str) -> None:
    """Record that a drill of the backup passed just now."""
    world.connection.execute(
        "INSERT INTO ops.restore_drills (backup, target, state, restored_to, recovery_seconds,"
        " certificate, finished_at) VALUES (%(name)s, %(name)s, 'passed', clock_timestamp(), 1,"
        " '{}', clock_timestamp())",
        {"name": name},
    )


def leave_verdicts(world: World, name: str) -> None:
    """A proof of a backup, and what refuted it later, as drills leave them in the bucket."""
    record = {"restored_to": datetime.now(UTC).isoformat(), "error": "damaged"}
    now = datetime.now(UTC)
    write_certificate(world.bucket, name, name, now, record | {"run_id": "one"})
    write_refutation(world.bucket, name, now + timedelta(seconds=1), record | {"run_id": "two"})


def test_every_job_of_the_backups_has_a_policy_for_rds() -> None:
    others = {"restore_family", "rehearse_erasures", "code_server"}
    assert {schedule.job_name for schedule in schedules} | others == set(JOBS)


def test_a_backup_needs_what_it_is_granted(
    guarded: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = "take_full_backup"
    assert run(job, monkeypatch).success
    assert guarded.denied[job] == set()
    # No copy fails here.
    left = {action for action, _ in unused(guarded.policies[job], guarded.used[job])}
    assert left == {"rds:DeleteDBSnapshot"}


@pytest.mark.chaos
def test_the_volumes_sizes_are_known_to_whoever_has_no_role_of_its_own(
    guarded: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> tuple[object, object]:
        result = run("check_health", monkeypatch, user="code_server")
        [made] = [
            event.materialization
            for event in result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey("capacity") and event.materialization
        ]
        rows = made.metadata["volumes"]
        assert isinstance(rows, dg.TableMetadataValue)
        unknown = made.metadata["sizes that the provider does not tell"].value
        return rows.records[0].data["bytes"], unknown

    assert said() == ("21.5 GB", "none")
    assert guarded.denied["code_server"] == set()
    # Who may not ask says so, and everything else is measured.
    guarded.policies["code_server"] = []
    size, why = said()
    assert size != "21.5 GB"
    assert "DescribeDBInstances was refused" in str(why)


@pytest.mark.chaos
def test_each_job_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs(job: str, *besides: str) -> None:
        assert guarded.denied[job] == set(), job
        left = {action for action, _ in unused(guarded.policies[job], guarded.used[job])}
        assert left == set(besides), job

    assert run("take_full_backup", monkeypatch).success
    leave_half_a_dump(world.connection, world.bucket)
    for job in ("take_incremental_backup", "ship_wal", "take_monthly_dump"):
        assert run(job, monkeypatch).success, job
        needs(job)

    # Of its own point, and of a later moment. The local instance answers nobody, so no drill
    # comes to its certificate; nor does one inherit the protection of its source here.
    (full,) = backups(world, "full")
    assert not run("drill_restore", monkeypatch, config("restore_drill", backup=full)).success
    assert not run("drill_restore", monkeypatch).success
    (increment,) = backups(world, "increment")
    alone = config("restore_drill", backup=increment)
    assert not run("drill_restore", monkeypatch, alone).success
    verdict = ("s3:PutObject", "kms:GenerateDataKey")
    erased = ("s3:GetBucketVersioning", "s3:ListBucket", "s3:GetObject")
    needs("drill_restore", "rds:ModifyDBInstance", *verdict, *erased)
    for point in (full, increment):
        one = config("restored_family", user_id=str(uuid4()), at=point)
        assert not run("restore_family", monkeypatch, one).success
    # Nothing is archived here: see the archive's own test.
    archive = ("s3:GetBucketVersioning", "s3:ListBucket", "s3:GetObjectVersion", "s3:RestoreObject")
    needs("restore_family", "rds:ModifyDBInstance", *archive)

    forget(world, full)
    leave_verdicts(world, full)
    assert run("verify_backups", monkeypatch).success
    needs("verify_backups")

    # A verified one stays; a dead run began to delete the others.
    assert run("take_full_backup", monkeypatch).success
    world.connection.execute(
        "UPDATE ops.backups SET state = 'deleting' WHERE kind = 'increment' OR name = %s", (full,)
    )
    (kept,) = backups(world, "full")
    prove(world, kept)
    world.connection.execute("UPDATE ops.backups SET state = 'deleting' WHERE kind = 'dump'")
    forgotten = backups(world, "increment")
    assert run("take_incremental_backup", monkeypatch).success
    (increment,) = set(backups(world, "increment")) - set(forgotten)
    forget(world, increment)
    leave_verdicts(world, increment)
    apply = config("backup_retention", dry_run=False)
    assert run("retain_backups", monkeypatch, apply).success
    needs("retain_backups")


@pytest.mark.parametrize("job", JOBS)
def test_no_job_harms_the_instance_or_what_others_made(job: str) -> None:
    policy = policy_of(job)
    for action, resource in (
        ("rds:DeleteDBInstance", f"db:{INSTANCE}"),
        ("rds:ModifyDBInstance", f"db:{INSTANCE}"),
        ("rds:DeleteDBSnapshot", "snapshot:before-the-upgrade"),
        ("rds:ModifyDBSnapshotAttribute", "snapshot:full-20260101t000000z"),
    ):
        arn = f"arn:aws:rds:us-east-1:{ACCOUNT}:{resource}"
        assert not is_allowed(policy, Action(action, arn)), action


def test_only_retention_deletes_snapshots() -> None:
    snapshot = f"arn:aws:rds:us-east-1:{ACCOUNT}:snapshot:full-20260101t000000z"
    delete = Action("rds:DeleteDBSnapshot", snapshot)
    assert [job for job in JOBS if is_allowed(policy_of(job), delete)] == ["retain_backups"]
