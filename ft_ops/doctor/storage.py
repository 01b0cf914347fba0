"""The buckets: there, private, versioned, encrypted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ft_ops.doctor.findings import Finding, failed
from ft_ops.errors import OpsError
from ft_ops.policy import Policy
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.posture import BucketPosture, Purpose, bucket_posture, weaknesses


def examine_storage(policy: Policy) -> Iterator[Finding]:
    """One finding a bucket that the policy names, or should name."""
    purpose = Purpose(
        needs_object_lock=policy.archive_lock_mode is not None, keeps_every_version=True
    )
    yield _bucket("archive bucket", policy.require_archive_bucket, purpose)
    # Retention hides what it lets go, and a rule of the bucket removes that later.
    purpose = Purpose(needs_object_lock=False, keeps_every_version=False)
    yield _bucket("backup bucket", policy.require_backup_bucket, purpose)
    if policy.dr_bucket is not None:
        name = policy.dr_bucket
        yield _bucket("recovery bucket", lambda: name, purpose, region=policy.dr_region)


def _bucket(
    finding: str, name: Callable[[], str], purpose: Purpose, *, region: str | None = None
) -> Finding:
    try:
        bucket = open_bucket(name(), region=region)
        posture = bucket_posture(bucket)
    except OpsError as error:
        return failed(finding, error)
    found = weaknesses(bucket.name, posture, purpose)
    if found:
        return Finding(
            finding,
            "failed",
            f"{bucket.name}: " + "; ".join(weakness.cause for weakness in found),
            "; then ".join(weakness.mend for weakness in found),
        )
    return Finding(finding, "ok", f"{bucket.name}: {_told(posture)}")


def _told(posture: BucketPosture) -> str:
    lock = ", Object Lock" if posture.object_lock else ""
    return f"private, versioned, TLS only, encrypted by {posture.encryption}{lock}"
