"""Keys of the account's own: each role uses them for its objects and snapshots, and only so."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError

from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import put_once
from tests.production.gateway import gateway, key_arn
from tests.production.policies import (
    ACCOUNT,
    IAM,
    KEYS,
    Action,
    Context,
    is_allowed,
    job_policy,
    key_policies,
    role_policy,
)

NAMES = {"ACCOUNT_ID": ACCOUNT, **KEYS}
S3: Context = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}
RDS: Context = {"kms:ViaService": "rds.eu-west-1.amazonaws.com"}
FOR_RDS: Context = {**RDS, "kms:GrantIsForAWSResource": "true"}


def names_of(bucket: Bucket) -> dict[str, str]:
    return {"ARCHIVE_BUCKET": bucket.name, "ARCHIVE_PREFIX": "archive"}


@pytest.mark.parametrize(
    ("job", "besides"),
    [
        ("archive_old_content", ["write_objects"]),
        ("purge_archived_content", ["write_objects"]),
        ("check_archive_bucket", ["read_objects"]),
        ("rds/ship_wal", []),
        ("rds/take_full_backup", ["write_objects", "snapshots", "copies"]),
        ("rds/take_incremental_backup", ["write_objects", "snapshots"]),
        ("rds/drill_restore", ["write_objects", "snapshots"]),
        ("rds/retain_backups", ["write_objects"]),
    ],
)
def test_a_role_gets_the_rights_to_the_keys_of_what_it_touches(
    job: str, besides: list[str]
) -> None:
    assert key_policies(job_policy(job, {})) == besides


@pytest.mark.parametrize(
    ("policy", "action", "key", "context", "allowed"),
    [
        ("read_objects", "kms:Decrypt", "OBJECTS_KEY", S3, True),
        ("read_objects", "kms:Decrypt", "OBJECTS_KEY", {}, False),
        ("read_objects", "kms:GenerateDataKey", "OBJECTS_KEY", S3, False),
        ("write_objects", "kms:GenerateDataKey", "OBJECTS_KEY", S3, True),
        ("write_objects", "kms:GenerateDataKey", "OBJECTS_KEY", {}, False),
        ("write_objects", "kms:Decrypt", "INSTANCE_KEY", S3, False),
        ("snapshots", "kms:CreateGrant", "INSTANCE_KEY", FOR_RDS, True),
        ("snapshots", "kms:CreateGrant", "INSTANCE_KEY", RDS, False),
        ("snapshots", "kms:CreateGrant", "DR_KEY", FOR_RDS, False),
        ("snapshots", "kms:DescribeKey", "INSTANCE_KEY", {}, False),
        ("copies", "kms:CreateGrant", "DR_KEY", FOR_RDS, True),
        ("copies", "kms:Decrypt", "DR_KEY", RDS, False),
    ],
)
def test_a_key_is_used_by_its_service_for_its_purpose(
    policy: str, action: str, key: str, context: Context, allowed: bool
) -> None:
    granted = job_policy(f"kms/{policy}", NAMES)
    assert is_allowed(granted, Action(action, key_arn(key, "eu-west-1")), context) == allowed


def test_the_key_of_the_chain_signs_and_no_more() -> None:
    granted = job_policy("kms/sign_evidence", {**NAMES, "EVIDENCE_KEY": "of-the-chain"})
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/of-the-chain"
    assert is_allowed(granted, Action("kms:Sign", key))
    assert not is_allowed(granted, Action("kms:ScheduleKeyDeletion", key))
    assert not is_allowed(granted, Action("kms:Sign", key_arn("OBJECTS_KEY", "eu-west-1")))


@pytest.mark.parametrize("job", ["archive_old_content", "purge_archived_content"])
def test_without_the_keys_rights_an_encrypted_object_stays_closed(
    bucket: Bucket, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    stored = put_once(bucket, "archive/object", b"content")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", job)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with gateway(s3_endpoint) as guarded:
        client = boto3.client("s3", endpoint_url=guarded.url)

        def content() -> bytes:
            answer = client.get_object(
                Bucket=bucket.name, Key=stored.key, VersionId=stored.version_id
            )
            return answer["Body"].read()

        guarded.policies[job] = job_policy(job, names_of(bucket))
        with pytest.raises(ClientError, match="AccessDenied"):
            content()
        guarded.policies[job] = role_policy(job, names_of(bucket))
        assert content() == b"content"


def test_every_policy_for_keys_is_told_in_the_guide() -> None:
    guide = (IAM.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    section = guide.partition("### Keys of your own")[2]
    for path in (IAM / "kms").glob("*.json"):
        assert f"| `{path.stem}` |" in section
    for key in KEYS:
        assert key in section
