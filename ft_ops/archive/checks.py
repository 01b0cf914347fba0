"""The check that the archive's bucket stays private, versioned and encrypted."""

import dagster as dg

from ft_ops.orchestration.resources import as_failure
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.posture import Purpose, bucket_posture, weaknesses
from ft_ops.settings import Settings


@dg.asset_check(
    asset="content_archive",
    name="archive_bucket_is_safe",
    description=(
        "The bucket that holds the archive is private, versioned, encrypted, refuses plain HTTP, "
        "has no lifecycle rule that expires objects, and has Object Lock where "
        "FT_ARCHIVE_LOCK_MODE asks for it. Fails when a setting was changed, whoever changed it."
    ),
)
def archive_bucket_is_safe(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    with as_failure():
        bucket = open_bucket(settings.require_archive_bucket())
        posture = bucket_posture(bucket)
        purpose = Purpose(
            needs_object_lock=settings.archive_lock_mode is not None, keeps_every_version=True
        )
        found = weaknesses(bucket.name, posture, purpose)
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(weakness.cause for weakness in found) or "nothing stands open",
        metadata={
            "bucket": bucket.name,
            "mend": [weakness.mend for weakness in found],
            "encryption": posture.encryption or "none",
            "object lock": posture.object_lock,
        },
    )
