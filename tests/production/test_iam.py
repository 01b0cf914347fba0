"""Each job runs with exactly what deploy/iam grants it, and what is not granted is denied."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import boto3
import dagster as dg
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mypy_boto3_s3 import S3Client

import ft_ops
from ft_ops.archive import add_hold, latest
from ft_ops.archive.claims.claim import claim
from ft_ops.archive.recorded.records import (
    GenerationRecord,
    generation_document,
    put_document,
)
from ft_ops.archive.run import ClaimedFolder
from ft_ops.archive.thaw_jobs import thaws_in_progress
from ft_ops.definitions import defs
from ft_ops.errors import OpsError
from ft_ops.evidence.verify import HEAD, link_name
from ft_ops.months import Month
from ft_ops.orchestration.resources import DatabaseResource, settings_resource
from ft_ops.partitions import ensure_months
from ft_ops.pg.audit import write_audit
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.objects import (
    copy_to_class,
    delete_version,
    put_once,
    read_current,
    read_object,
    replace_current,
    versions,
)
from tests.archive.world import World
from tests.production.cloudformation import complaints
from tests.production.gateway import Gateway, gateway
from tests.production.policies import IAM, role_policy, statements, unused

FOLDER = re.compile(
    r"[A-Z]+_BUCKET(|/[A-Z]+_PREFIX/\*|/([A-Z]+_PREFIX/)?(audit_log/|records/)?(table=)?[a-z_]+/\*)"
)
"""A bucket, or everything below one folder of it."""

PACKAGE = Path(ft_ops.__file__).parent
OLD = Month(2024, 1)

BESIDES_JOBS = {"code_server"}
IN_OTHER_GROUPS = {"make_overview"}
"""Jobs that use S3 beside others of the same group that don't."""


@pytest.fixture
def asking(bucket: Bucket, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """An S3 that asks IAM; ``bucket`` itself is its administrator's."""
    with gateway(s3_endpoint) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", made.url)
        for path in IAM.glob("*.json"):
            made.policies[path.stem] = role_policy(path.stem, names(bucket))
        yield made


@pytest.fixture
def guarded(asking: Gateway, world: World, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A deployment with such an S3, and 2024-01 due."""
    world.fill(OLD)
    for name, value in {
        "FT_DATABASE_URL": world.database.url,
        "FT_ARCHIVE_BUCKET": world.bucket.name,
        "FT_RETENTION_YEARS": "1",
        "FT_PURGE_ENABLED": "true",
        "FT_PURGE_GRACE_DAYS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    return asking


def names(bucket: Bucket) -> dict[str, str]:
    return {
        "ARCHIVE_BUCKET": bucket.name,
        "ARCHIVE_PREFIX": "archive",
        "REPLICA_BUCKET": f"{bucket.name}-second",
        "BACKUP_BUCKET": bucket.name,
        "BACKUP_PREFIX": "barman",
        "INVENTORY_BUCKET": bucket.name,
        "INVENTORY_PREFIX": "media",
    }


def become(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients that are made from now on have a role's credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", role)
    # boto3 remembers the credentials that it found first.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def run(
    job: str,
    monkeypatch: pytest.MonkeyPatch,
    config: Mapping[str, object] | None = None,
    *,
    role: str | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job for 2024-01 with the credentials of its own role, or of another."""
    become(role or job, monkeypatch)
    definition = defs.resolve_job_def(job)
    with dg.DagsterInstance.ephemeral() as instance:
        return definition.execute_in_process(
            instance=instance,
            partition_key=OLD.key if definition.partitions_def else None,
            run_config={"ops": dict(config or {})},
            raise_on_error=False,
        )


def config(asset: str, **values: object) -> dict[str, object]:
    return {asset: {"config": values}}


def assert_exact(guarded: Gateway, world: World, role: str) -> None:
    """All that was asked was granted, and all that is granted was asked."""
    assert guarded.denied[role] == set()
    assert unused(guarded.policies[role], guarded.used[role]) == set()


def test_every_job_of_a_room_that_uses_s3_has_a_policy() -> None:
    # The rooms of copies use it through the backups.
    rooms = {"restore", "rehearsal"}
    rooms |= {p.parent.name for p in PACKAGE.glob("*/*.py") if "ft_ops.s3" in p.read_text()}
    groups = {spec.key: spec.group_name for spec in defs.resolve_all_asset_specs()}
    jobs = set()
    for job in defs.resolve_all_job_defs():
        touched = job.asset_layer.selected_asset_keys | {
            check.asset_key for check in job.asset_layer.asset_graph.asset_check_keys
        }
        if job.name != "__ASSET_JOB" and {groups[key] for key in touched} & rooms:
            jobs.add(job.name)
    assert {path.stem for path in IAM.glob("*.json")} - BESIDES_JOBS == jobs | IN_OTHER_GROUPS


@pytest.mark.xdist_group("cfn-lint")
def test_the_policies_are_ones_that_iam_takes() -> None:
    template = {
        "Resources": {
            f"{path.parent.name}{path.stem}".replace("_", ""): {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "PolicyDocument": json.loads(
                        path.read_text().replace("ACCOUNT_ID", "111122223333")
                    )
                },
            }
            for path in IAM.glob("**/*.json")
        }
    }
    assert complaints(json.dumps(template)) == []


def test_no_policy_reaches_beyond_its_folder() -> None:
    for path in IAM.glob("*.json"):
        for statement in statements(json.loads(path.read_text())["Statement"]):
            assert statement.effect == "Allow"
            assert all("*" not in action for action in statement.actions), path
            for resource in statement.resources:
                assert resource.startswith("arn:aws:s3:::"), path
                assert FOLDER.fullmatch(resource[13:]), path


def test_the_archive_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_ARCHIVE_LOCK_MODE", "GOVERNANCE")
    key = "archive/table=content_segments/year=2024/month=01/gen=1/part-00000.parquet"
    world.bucket.client.create_multipart_upload(Bucket=world.bucket.name, Key=key)
    assert run("archive_old_content", monkeypatch).success
    assert_exact(guarded, world, "archive_old_content")


def test_the_audit_logs_archive_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit_month(world)
    monkeypatch.setenv("FT_ARCHIVE_LOCK_MODE", "GOVERNANCE")
    key = "archive/audit_log/table=audit_log/year=2017/month=01/gen=1/part-00000.parquet"
    world.bucket.client.create_multipart_upload(Bucket=world.bucket.name, Key=key)
    assert run(
        "archive_audit_log", monkeypatch, config("archived_audit_log", dry_run=False)
    ).success
    world.verified_backup()
    for back in ([], ["2017-01"]):
        asked = config("archived_audit_log", dry_run=False, bring_back=back)
        assert run("archive_audit_log", monkeypatch, asked).success
    assert_exact(guarded, world, "archive_audit_log")


def audit_month(world: World) -> None:
    """A month of the audit log that is due, with one row."""
    ensure_months(world.connection, "audit_log", [Month(2017, 1)])
    world.connection.execute(
        "INSERT INTO audit_log (user_id, action, created_at) VALUES (%s, 'act', '2017-01-15')",
        (world.users[0],),
    )


def test_purge_thaw_and_refreeze_need_what_they_are_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archive(OLD)
    world.verified_backup()
    purge = config("purged_content_segments", dry_run=False)
    assert run("purge_archived_content", monkeypatch, purge).success
    assert_exact(guarded, world, "purge_archived_content")

    assert run("thaw_archived_content", monkeypatch).success
    assert_exact(guarded, world, "thaw_archived_content")

    refreeze = config("refrozen_content_segments", dry_run=False)
    assert run("refreeze_thawed_content", monkeypatch, refreeze).success
    assert_exact(guarded, world, "refreeze_thawed_content")


def test_a_family_restored_from_the_archive_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archive(OLD)
    family = {"family_id": str(world.families[0]), "from_archive": str(OLD)}
    for asked in ("Bulk", ""):
        one = config("restored_family", **family, ask_glacier=asked)
        assert run("restore_family", monkeypatch, one).success
    assert guarded.denied["restore_family"] == set()
    left = {
        resource
        for _, resource in unused(
            guarded.policies["restore_family"], guarded.used["restore_family"]
        )
    }
    # The rest is for backups.
    bucket = f"arn:aws:s3:::{world.bucket.name}"
    assert left == {f"{bucket}/barman/*", f"{bucket}/points/*"}


@pytest.mark.chaos
def test_an_erasure_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archived_and_purged(OLD)
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    key = "archive/table=content_segments/year=2024/month=01/gen=2/part-00000.parquet"
    world.bucket.client.create_multipart_upload(Bucket=world.bucket.name, Key=key)
    monkeypatch.setenv("FT_ARCHIVE_LOCK_MODE", "GOVERNANCE")
    erase = config("erased_archive_content", dry_run=False)
    assert run("erase_archived_content", monkeypatch, erase).success
    assert_exact(guarded, world, "erase_archived_content")


def test_the_code_server_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archived_and_purged(OLD)
    world.connection.execute(
        "INSERT INTO ops.thaws (month, purpose, state, generations, tier, days, estimate)"
        " VALUES (%s, 'thaw', 'restoring', '{1}', 'Bulk', 1, '{}')",
        (OLD.start.date(),),
    )
    become("code_server", monkeypatch)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance,
            resources={"database": DatabaseResource(), "settings": settings_resource},
            repository_def=defs.get_repository_def(),
        ) as context,
    ):
        # Nobody has asked Glacier yet: the run that it asks for does.
        assert thaws_in_progress.evaluate_tick(context).run_requests
    assert_exact(guarded, world, "code_server")


def test_the_bucket_check_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archive(OLD)
    assert run("check_archive_bucket", monkeypatch).success
    assert_exact(guarded, world, "check_archive_bucket")


def test_the_drill_of_the_archive_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archived_and_purged(OLD)
    for _ in ("asks", "reads"):
        assert run("drill_archive", monkeypatch).success
    assert_exact(guarded, world, "drill_archive")


def test_the_chain_of_evidence_needs_what_it_is_granted(
    guarded: Gateway, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    monkeypatch.setenv("FT_EVIDENCE_KEY_FILE", str(tmp_path / "key.pem"))
    claim(ClaimedFolder(world.connection, world.bucket, "archive"), "test")
    # Of a run that died behind its claim: the next one reads whose it is.
    world.connection.execute("UPDATE ops.records_claims SET is_certain = false")
    for number in (1, 2):
        write_audit(world.connection, "test.act", "tests", {"number": number})
        assert run("chain_evidence", monkeypatch).success
    # As when the very first run has died before it wrote the head: was there ever one?
    world.connection.execute("DELETE FROM audit_log WHERE action = 'evidence.head'")
    for version in list(versions(world.bucket, "")):
        if version.key.endswith(f"/{HEAD}"):
            delete_version(world.bucket, version.key, version.version_id)
    # A link that lies there once more, over itself: what was there first?
    link = f"evidence/{link_name(1)}"
    replace_current(world.bucket, link, read_current(world.bucket, link))
    assert run("chain_evidence", monkeypatch).success
    assert_exact(guarded, world, "chain_evidence")


def test_the_page_needs_what_it_is_granted(
    guarded: Gateway, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setenv("FT_OVERVIEW_PREFIX", "overview")
    assert run("make_overview", monkeypatch).success
    assert_exact(guarded, world, "make_overview")


def test_the_records_jobs_need_what_they_are_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.archive(OLD)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    unsearched = "nobody has searched for it yet"
    add_hold(world.connection, user_id=world.users[0], reason=unsearched)
    add_hold(world.connection, month=OLD, reason=unsearched)
    of_audit = GenerationRecord(OLD, 1, datetime.now(UTC), {"state": "purged"})
    put_document(world.bucket, generation_document("archive/audit_log", of_audit))
    for role in ("ship_archive_records", "check_archive_records"):
        become(role, monkeypatch)
        assert run(role, monkeypatch).success
        assert_exact(guarded, world, role)


def test_the_storage_job_needs_what_it_is_granted(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = "media/photos/daily"
    listed = gzip.compress(b'"photos","uploads/1.jpg","2048"\n')
    data = f"{folder}/data/list.csv.gz"
    manifest = {
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": data, "MD5checksum": hashlib.md5(listed).hexdigest()}],  # noqa: S324
    }
    report = f"{folder}/2024-02-01T00-00Z"
    for key, body in (
        (data, listed),
        (f"{report}/manifest.json", json.dumps(manifest).encode()),
        (f"{report}/manifest.checksum", b"-"),
    ):
        world.bucket.client.put_object(Bucket=world.bucket.name, Key=key, Body=body)
    monkeypatch.setenv("FT_MEDIA_INVENTORY", f"s3://{world.bucket.name}/{folder}/")
    result = run("recompute_storage", monkeypatch)
    assert result.success
    assert_exact(guarded, world, "recompute_storage")


def test_a_run_with_another_jobs_role_is_denied_and_changes_nothing(
    guarded: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("archive_old_content", monkeypatch, role="purge_archived_content")
    assert not result.success
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    user_failure = failure.step_failure_data.user_failure_data
    assert user_failure is not None
    assert "deploy/iam" in str(user_failure.description)
    generation = latest(world.connection, OLD)
    assert generation is not None
    assert generation.proven_at is None
    assert world.count("archived_content_segments") == 40


Attempt = Callable[[S3Client, str, str, str], object]

ATTEMPTS: Mapping[str, Attempt] = {
    "s3:GetObjectVersion": lambda s3, bucket, key, version: s3.get_object(
        Bucket=bucket, Key=key, VersionId=version
    )["Body"].read(),
    "s3:PutObject": lambda s3, bucket, key, version: s3.put_object(
        Bucket=bucket, Key="archive/new", Body=b""
    ),
    "s3:RestoreObject": lambda s3, bucket, key, version: s3.restore_object(
        Bucket=bucket, Key=key, VersionId=version, RestoreRequest={"Days": 1}
    ),
    "s3:DeleteObject": lambda s3, bucket, key, version: s3.delete_object(Bucket=bucket, Key=key),
    "s3:DeleteObjectVersion": lambda s3, bucket, key, version: s3.delete_object(
        Bucket=bucket, Key=key, VersionId=version
    ),
}


@pytest.mark.parametrize("role", sorted(path.stem for path in IAM.glob("*.json")))
def test_what_a_role_is_not_granted_is_denied(
    asking: Gateway, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    stored = put_once(bucket, "archive/object", b"content")
    copy_to_class(bucket, stored, "GLACIER_IR")
    granted = {a for statement in asking.policies[role] for a in statement.actions}
    become(role, monkeypatch)
    client = boto3.client("s3")
    for action, attempt in ATTEMPTS.items():
        if action in granted:
            continue
        with pytest.raises(ClientError) as refused:
            attempt(client, bucket.name, stored.key, stored.version_id)
        assert refused.value.response["Error"]["Code"] == "AccessDenied", action
    assert len(list(versions(bucket, "archive/object"))) == 2


def test_a_role_reaches_no_other_folder(
    asking: Gateway, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = put_once(bucket, "elsewhere/object", b"content")
    become("erase_archived_content", monkeypatch)
    with pytest.raises(OpsError, match="deploy/iam"):
        read_object(open_bucket(bucket.name), outside)
    with pytest.raises(OpsError, match="deploy/iam"):
        delete_version(open_bucket(bucket.name), outside.key, outside.version_id)
