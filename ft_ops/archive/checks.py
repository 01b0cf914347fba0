"""The check that the archive's bucket stays private, versioned and encrypted."""

import dagster as dg

from ft_ops.orchestration.resources import Settings, as_failure
from ft_ops.orchestration.shared import own_identity
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.posture import Purpose, bucket_posture, weaknesses


@dg.asset_check(
    asset="content_archive",
    name="archive_bucket_is_safe",
    description=(
        "The bucket that holds the archive is private, versioned, encrypted, refuses plain HTTP, "
        "has no lifecycle rule that expires objects, and has Object Lock where "
        "FT_ARCHIVE_LOCK_MODE asks for it. Fails when a setting was changed, whoever changed it."
    ),
)
def archive_bucket_is_safe(settings: Settings) -> dg.AssetCheckResult:
    with as_failure():
        policy = settings.policy()
        bucket = open_bucket(policy.require_archive_bucket())
        posture = bucket_posture(bucket)
        purpose = Purpose(
            needs_object_lock=policy.archive_lock_mode is not None, keeps_every_version=True
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


check_archive_bucket = dg.define_asset_job(
    "check_archive_bucket",
    tags=own_identity("check_archive_bucket"),
    selection=dg.AssetSelection.checks(archive_bucket_is_safe),
    description="Reads the settings of the archive's bucket.",
)

check_archive_bucket_daily = dg.ScheduleDefinition(
    name="check_archive_bucket_daily",
    job=check_archive_bucket,
    cron_schedule="45 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    asset_checks=[archive_bucket_is_safe],
    jobs=[check_archive_bucket],
    schedules=[check_archive_bucket_daily],
)
