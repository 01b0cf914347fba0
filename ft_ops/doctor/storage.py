"""The buckets: there, private, versioned, encrypted; and where the sizes of media come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from ft_ops.backups import backup_bucket
from ft_ops.doctor.findings import Finding, asked
from ft_ops.evidence import has_signer, open_chain
from ft_ops.s3.bucket import Bucket, naming, open_bucket, open_foreign_bucket
from ft_ops.s3.posture import BucketPosture, Purpose, bucket_posture, weaknesses
from ft_ops.settings import Settings


def examine_storage(settings: Settings) -> Iterator[Finding]:
    """One finding for each bucket that the settings name, or should name."""
    purpose = Purpose(
        needs_object_lock=settings.archive_lock_mode is not None, keeps_every_version=True
    )
    yield _bucket("archive bucket", settings.require_archive_bucket, purpose)
    if settings.archive_replica_bucket is not None:
        second, region = settings.archive_replica_bucket, settings.archive_replica_region
        yield _bucket("archive's second bucket", lambda: second, purpose, region=region)
    # Retention hides what it lets go, and a rule of the bucket removes that later.
    purpose = Purpose(needs_object_lock=False, keeps_every_version=False)
    yield asked("backup bucket", lambda: _judged("backup bucket", backup_bucket(settings), purpose))
    if settings.dr_bucket is not None:
        name = settings.dr_bucket
        yield _bucket("recovery bucket", lambda: name, purpose, region=settings.dr_region)
    yield asked("media sizes", lambda: _media(settings.media_inventory))
    yield asked("evidence", lambda: _evidence(settings))


def _bucket(
    finding: str, name: Callable[[], str], purpose: Purpose, *, region: str | None = None
) -> Finding:
    return asked(finding, lambda: _judged(finding, open_bucket(name(), region=region), purpose))


def _judged(finding: str, bucket: Bucket, purpose: Purpose) -> Finding:
    posture = bucket_posture(bucket)
    found = weaknesses(bucket.name, posture, purpose)
    if found:
        return Finding(
            finding,
            "failed",
            f"{bucket.name}: " + "; ".join(weakness.cause for weakness in found),
            "; then ".join(weakness.mend for weakness in found),
        )
    return Finding(finding, "ok", f"{bucket.name}: {_told(posture)}")


def _media(location: str | None) -> Finding:
    name = "media sizes"
    if location is None:
        return Finding(name, "ok", "estimates, because FT_MEDIA_INVENTORY is not set")
    parts = urlsplit(location)
    bucket, prefix = open_foreign_bucket(parts.netloc), parts.path.lstrip("/")
    with naming(location):
        listed = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=prefix, MaxKeys=1)
    if listed["KeyCount"] == 0:
        mend = "correct FT_MEDIA_INVENTORY, or wait for the first inventory to be delivered"
        return Finding(name, "failed", f"{location} holds nothing", mend)
    return Finding(name, "ok", location)


def _evidence(settings: Settings) -> Finding:
    if not has_signer(settings):
        unset = "neither FT_EVIDENCE_KEY_FILE nor FT_EVIDENCE_KMS_KEY is set"
        return Finding("evidence", "ok", f"no chain, because {unset}")
    chain = open_chain(settings)
    return Finding("evidence", "ok", f"a chain in {chain.bucket.url(chain.prefix)}")


def _told(posture: BucketPosture) -> str:
    lock = ", Object Lock" if posture.object_lock else ""
    return f"private, versioned, TLS only, encrypted by {posture.encryption}{lock}"
