"""The buckets: there, private, versioned, encrypted."""

from __future__ import annotations

from collections.abc import Iterator

from ft_ops.doctor.findings import Finding, failed
from ft_ops.errors import OpsError
from ft_ops.policy import Policy
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.posture import BucketPosture, bucket_posture, weaknesses


def examine_storage(policy: Policy) -> Iterator[Finding]:
    """One finding a bucket that the policy names, or should name."""
    yield _archive_bucket(policy)


def _archive_bucket(policy: Policy) -> Finding:
    try:
        name = policy.require_archive_bucket()
    except OpsError as error:
        return failed("archive bucket", error)
    needs_lock = policy.archive_lock_mode is not None
    return _bucket("archive bucket", name, needs_object_lock=needs_lock)


def _bucket(
    finding: str, name: str, *, needs_object_lock: bool, region: str | None = None
) -> Finding:
    try:
        posture = bucket_posture(open_bucket(name, region=region))
    except OpsError as error:
        return failed(finding, error)
    found = weaknesses(name, posture, needs_object_lock=needs_object_lock)
    if found:
        return Finding(
            finding,
            "failed",
            f"{name}: " + "; ".join(weakness.cause for weakness in found),
            "; then ".join(weakness.mend for weakness in found),
        )
    return Finding(finding, "ok", f"{name}: {_told(posture)}")


def _told(posture: BucketPosture) -> str:
    lock = ", Object Lock" if posture.object_lock else ""
    return f"private, versioned, TLS only, encrypted by {posture.encryption}{lock}"
