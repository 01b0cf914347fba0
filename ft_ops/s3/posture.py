"""What a bucket is set to: whether anyone may read it, overwrite it, or let it expire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from ft_ops.s3.bucket import Bucket, naming

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetBucketLifecycleConfigurationOutputTypeDef

T = TypeVar("T")

_UNSET = frozenset(
    {
        "ServerSideEncryptionConfigurationNotFoundError",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchBucketPolicy",
        "ObjectLockConfigurationNotFoundError",
        "NoSuchLifecycleConfiguration",
        # An S3 server without such a setting has it for no bucket.
        "NotImplemented",
    }
)


@dataclass(frozen=True, slots=True)
class BucketPosture:
    """The settings of one bucket that protect what lies in it.

    ``encryption`` is the default algorithm, None when there is none. The rules are enabled
    lifecycle rules, by their id: those that let objects expire, and those that let versions go
    which were deleted or replaced.
    """

    versioned: bool
    encryption: str | None
    public_access_blocked: bool
    public_by_policy: bool
    tls_only: bool
    object_lock: bool
    object_expiring_rules: tuple[str, ...]
    version_expiring_rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the settings of a bucket have to allow, and what they may not."""

    needs_object_lock: bool
    keeps_every_version: bool


@dataclass(frozen=True, slots=True)
class Weakness:
    """One setting that leaves the bucket open, and how to close it."""

    cause: str
    mend: str


def bucket_posture(bucket: Bucket) -> BucketPosture:
    """Read the settings; an OpsError when one of them may not be read."""
    client, name = bucket.client, bucket.name
    with naming(f"bucket {name}"):
        versioning = client.get_bucket_versioning(Bucket=name)
        encryption = _or_none(lambda: client.get_bucket_encryption(Bucket=name))
        block = _or_none(lambda: client.get_public_access_block(Bucket=name))
        policy = _or_none(lambda: client.get_bucket_policy(Bucket=name))
        status = _or_none(lambda: client.get_bucket_policy_status(Bucket=name))
        lock = _or_none(lambda: client.get_object_lock_configuration(Bucket=name))
        lifecycle = _or_none(lambda: client.get_bucket_lifecycle_configuration(Bucket=name))
    rules = encryption["ServerSideEncryptionConfiguration"]["Rules"] if encryption else []
    defaults = [rule.get("ApplyServerSideEncryptionByDefault") for rule in rules]
    return BucketPosture(
        versioned=versioning.get("Status") == "Enabled",
        encryption=next((str(d["SSEAlgorithm"]) for d in defaults if d), None),
        public_access_blocked=block is not None
        and all(dict(block["PublicAccessBlockConfiguration"]).values()),
        public_by_policy=status is not None and status["PolicyStatus"].get("IsPublic", False),
        tls_only=policy is not None and _denies_plain_http(_statements(policy["Policy"])),
        object_lock=lock is not None
        and lock["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled",
        object_expiring_rules=_rules(lifecycle, "Expiration"),
        version_expiring_rules=_rules(lifecycle, "NoncurrentVersionExpiration"),
    )


def weaknesses(name: str, posture: BucketPosture, purpose: Purpose) -> list[Weakness]:
    """What is wrong with the bucket ``name``, most dangerous first; empty when nothing is."""
    return list(_weaknesses(name, posture, purpose))


def _weaknesses(name: str, posture: BucketPosture, purpose: Purpose) -> Iterator[Weakness]:
    if posture.public_by_policy:
        yield Weakness(
            "its policy lets anybody in", f"aws s3api delete-bucket-policy --bucket {name}"
        )
    if not posture.public_access_blocked:
        yield Weakness(
            "public access is not blocked",
            f"aws s3api put-public-access-block --bucket {name} "
            "--public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,"
            "BlockPublicPolicy=true,RestrictPublicBuckets=true",
        )
    if not posture.versioned:
        yield Weakness(
            "it is not versioned",
            f"aws s3api put-bucket-versioning --bucket {name} "
            "--versioning-configuration Status=Enabled",
        )
    expiring = list(posture.object_expiring_rules)
    if purpose.keeps_every_version:
        expiring += posture.version_expiring_rules
    if expiring:
        yield Weakness(
            f"lifecycle rules let its objects expire: {', '.join(expiring)}",
            f"aws s3api get-bucket-lifecycle-configuration --bucket {name}, and take them out: "
            "only this project knows what may go",
        )
    if posture.encryption is None:
        yield Weakness(
            "objects are not encrypted by default",
            f"aws s3api put-bucket-encryption --bucket {name} "
            "--server-side-encryption-configuration "
            """'{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'""",
        )
    if not posture.tls_only:
        yield Weakness(
            "plain HTTP is not refused",
            f"aws s3api put-bucket-policy --bucket {name} --policy file://policy.json, "
            "with the statement TlsOnly of deploy/aws/bucket.yaml",
        )
    if purpose.needs_object_lock and not posture.object_lock:
        yield Weakness(
            "FT_ARCHIVE_LOCK_MODE is set and Object Lock is not enabled",
            f"aws s3api put-object-lock-configuration --bucket {name} "
            "--object-lock-configuration ObjectLockEnabled=Enabled",
        )


def _rules(
    lifecycle: GetBucketLifecycleConfigurationOutputTypeDef | None, kind: str
) -> tuple[str, ...]:
    rules = lifecycle["Rules"] if lifecycle else []
    return tuple(
        rule.get("ID", "(unnamed)")
        for rule in rules
        if rule["Status"] == "Enabled" and kind in rule
    )


def _or_none(ask: Callable[[], T]) -> T | None:
    """The answer, None where S3 says that the setting was never made."""
    try:
        return ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _UNSET:
            return None
        raise


def _statements(policy: str) -> Sequence[Mapping[str, object]]:
    found: list[dict[str, object]] | dict[str, object] = json.loads(policy).get("Statement", [])
    return found if isinstance(found, list) else [found]


def _denies_plain_http(statements: Sequence[Mapping[str, object]]) -> bool:
    return any(
        statement.get("Effect") == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and statement.get("Action") in ("s3:*", "*", ["s3:*"])
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in statements
    )
