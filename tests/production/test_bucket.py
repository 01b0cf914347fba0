"""A bucket stays private, versioned and encrypted, and somebody notices when it does not."""

from __future__ import annotations

import json
import re

import dagster as dg
import pytest
from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef

from ft_ops.definitions import defs
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.posture import Purpose, bucket_posture, weaknesses
from tests.fixtures.postgres import Database
from tests.production.cloudformation import complaints, load_template
from tests.production.policies import IAM, REPOSITORY, Action, is_denied, job_policy, statements

pytestmark = pytest.mark.xdist_group("cfn-lint")

TEMPLATE = REPOSITORY / "deploy" / "aws" / "bucket.yaml"
NAME = "familytales-archive"
OBJECT = f"arn:aws:s3:::{NAME}/archive/table=content_segments/part-00000.parquet"
ROLES = "arn:aws:iam::111122223333:role"

INSIDE = {
    "aws:SecureTransport": "true",
    "aws:PrincipalAccount": "111122223333",
    "aws:PrincipalIsAWSService": "false",
    "aws:PrincipalArn": f"{ROLES}/familytales-archive_old_content",
}


def protect(bucket: Bucket) -> None:
    """Everything that deploy/aws/bucket.yaml sets, but for Object Lock, which it was made with.

    The policy goes last: the local S3 takes a denial's conditions for true.
    """
    client, name = bucket.client, bucket.name
    client.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
    )
    client.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    client.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "abandoned-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
    )
    document = {"Version": "2012-10-17", "Statement": template_statements()[:1]}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps(document))


def deleting_roles() -> list[str]:
    """The template's default for who may delete."""
    roles: str = load_template(TEMPLATE)["Parameters"]["DeletingRoles"]["Default"]
    return roles.split(",")


def template_statements() -> list[dict[str, object]]:
    """The template's policy, with its parameters filled in."""
    raw = load_template(TEMPLATE)["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"][
        "Statement"
    ]
    filled: list[dict[str, object]] = json.loads(json.dumps(raw), object_hook=_fill)
    return filled


def _fill(node: dict[str, object]) -> object:
    match node:
        case {"Fn::Sub": str(text)}:
            return text.replace("${AWS::Partition}", "aws").replace("${BucketName}", NAME)
        case {"Ref": "AWS::AccountId"}:
            return "111122223333"
        case {"Ref": "DeletingRoles"}:
            return deleting_roles()
    return node


def causes(
    bucket: Bucket, *, needs_object_lock: bool = False, keeps_every_version: bool = True
) -> list[str]:
    purpose = Purpose(needs_object_lock, keeps_every_version)
    found = weaknesses(bucket.name, bucket_posture(bucket), purpose)
    return [weakness.cause for weakness in found]


def test_the_template_is_one_that_cloudformation_takes() -> None:
    assert complaints(TEMPLATE.read_text()) == []


def test_a_protected_bucket_has_no_weakness(bucket: Bucket) -> None:
    protect(bucket)
    assert causes(bucket, needs_object_lock=True) == []


def test_a_bare_bucket_has_each_weakness_named(bucket: Bucket) -> None:
    assert causes(bucket) == [
        "public access is not blocked",
        "objects are not encrypted by default",
        "plain HTTP is not refused",
    ]


def test_a_bucket_without_object_lock_is_weak_only_where_it_is_asked_for(bucket: Bucket) -> None:
    name = f"{bucket.name}-plain"
    bucket.client.create_bucket(Bucket=name)
    plain = Bucket(name, bucket.client)
    protect(plain)
    assert causes(plain) == ["it is not versioned"]
    assert len(causes(plain, needs_object_lock=True)) == 2


@pytest.mark.parametrize(
    ("rule", "of_backups"),
    [
        ({"Expiration": {"Days": 3650}}, True),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}, False),
    ],
    ids=["objects", "versions"],
)
def test_a_rule_that_lets_too_much_expire_is_named(
    bucket: Bucket, rule: LifecycleRuleTypeDef, of_backups: bool
) -> None:
    whole: LifecycleRuleTypeDef = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": ""}}
    bucket.client.put_bucket_lifecycle_configuration(
        Bucket=bucket.name, LifecycleConfiguration={"Rules": [{**whole, **rule}]}
    )
    cause = "lifecycle rules let its objects expire: tidy"
    assert cause in causes(bucket)
    # What the retention of backups let go has to go some day.
    assert (cause in causes(bucket, keeps_every_version=False)) == of_backups


def test_the_check_fails_until_the_bucket_is_protected(
    database: Database, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", bucket.name)
    job = defs.resolve_job_def("check_archive_bucket")
    for passed in (False, True):
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance)
        found = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
        assert found == {
            "archive_bucket_is_safe": passed,
            "archived_objects_are_there": True,
            "archive_is_proven": True,
        }
        protect(bucket)


@pytest.mark.parametrize("action", ["s3:GetObjectVersion", "s3:PutObject", "s3:ListBucket"])
@pytest.mark.parametrize(
    ("change", "denied"),
    [
        ({}, False),
        ({"aws:SecureTransport": "false"}, True),
        ({"aws:PrincipalAccount": "444455556666"}, True),
    ],
    ids=["inside", "plain HTTP", "another account"],
)
def test_the_bucket_admits_its_own_account_over_tls(
    action: str, change: dict[str, str], denied: bool
) -> None:
    resource = OBJECT if "Object" in action else f"arn:aws:s3:::{NAME}"
    policy = statements(template_statements())
    assert is_denied(policy, Action(action, resource), {**INSIDE, **change}) == denied


@pytest.mark.parametrize(
    ("role", "denied"),
    [
        ("familytales-archive_old_content", False),
        ("familytales-erase_archived_content", False),
        ("familytales-purge_archived_content", True),
        ("administrator", True),
    ],
)
def test_only_the_archive_and_the_erasure_delete(role: str, denied: bool) -> None:
    policy = statements(template_statements())
    context = {**INSIDE, "aws:PrincipalArn": f"{ROLES}/{role}"}
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"):
        assert is_denied(policy, Action(action, OBJECT), context) == denied


@pytest.mark.parametrize("folder", ["", "rds/"])
def test_whoever_has_to_delete_is_among_those_who_may(folder: str) -> None:
    """Those of the archive by the template's default, those of the backups by the guide."""
    guide = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (of_backups,) = re.findall(r"DeletingRoles='(.+)'", guide)
    listed = {"ARCHIVE_BUCKET": deleting_roles(), "BACKUP_BUCKET": of_backups.split(",")}
    deleting: dict[str, set[str]] = {"ARCHIVE_BUCKET": set(), "BACKUP_BUCKET": set()}
    for path in (IAM / folder).glob("*.json"):
        for statement in job_policy(f"{folder}{path.stem}", {}):
            if any(action.startswith("s3:Delete") for action in statement.actions):
                for resource in statement.resources:
                    bucket = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
                    deleting[bucket].add(f"*/familytales-{path.stem}")
    for bucket, roles in deleting.items():
        assert roles in (set(), set(listed[bucket])), bucket
