"""The checks of the archive's bucket: that it is safe, and that it still holds the archive."""

import dagster as dg

from ft_ops.archive.store.presence import missing
from ft_ops.orchestration.resources import DatabaseResource, as_failure
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


@dg.asset_check(
    asset="content_archive",
    name="archived_objects_are_there",
    description=(
        "Every object of every frozen or purged generation lies in the bucket, as the version, "
        "size, SHA-256 and class that the ledger has, and each manifest says what the ledger says. "
        "Of a purged month that is the only copy. Fails when one is gone, whoever removed it."
    ),
)
def archived_objects_are_there(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    with as_failure(), database.connect("archived objects") as connection:
        bucket = open_bucket(settings.require_archive_bucket())
        found = missing(connection, bucket)
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(f"{name}: {problems[0]}" for name, problems in found.items())
        or "every recorded object is there",
        metadata={"missing": dg.MetadataValue.json(found)},
    )
