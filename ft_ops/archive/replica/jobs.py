"""Jobs and schedules of the archive's second copy."""

import dagster as dg

from ft_ops.archive.replica.assets import archive_replica
from ft_ops.archive.replica.checks import archive_replica_is_complete, archive_replica_is_safe
from ft_ops.orchestration.jobs import asset_job, run_request, schedule
from ft_ops.settings import Settings

copy_archive_to_replica = asset_job(
    "copy_archive_to_replica",
    dg.AssetSelection.assets("archive_replica").without_checks(),
    "Copies into the archive's second bucket what it lacks.",
    identity=True,
)

check_archive_replica = asset_job(
    "check_archive_replica",
    dg.AssetSelection.checks(archive_replica_is_safe, archive_replica_is_complete),
    "Holds the archive's second bucket against the ledger and the first.",
    identity=True,
)


@dg.schedule(
    job=copy_archive_to_replica,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Records and manifests within the hour; nothing while there is no second bucket.",
)
def copy_archive_to_replica_hourly(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """Ask once an hour, where FT_ARCHIVE_REPLICA_BUCKET is set."""
    if settings.archive_replica_bucket is None:
        return dg.SkipReason("FT_ARCHIVE_REPLICA_BUCKET is not set")
    return run_request(run_key=context.scheduled_execution_time.isoformat())


defs = dg.Definitions(
    assets=[archive_replica],
    asset_checks=[archive_replica_is_safe, archive_replica_is_complete],
    jobs=[copy_archive_to_replica, check_archive_replica],
    schedules=[
        copy_archive_to_replica_hourly,
        schedule("check_archive_replica_daily", check_archive_replica, "20 7 * * *"),
    ],
)
