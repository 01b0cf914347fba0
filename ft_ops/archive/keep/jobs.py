"""Jobs and schedules of how the archive outlives its database."""

import dagster as dg

from ft_ops.archive.keep.assets import after_drill, archive_records, erasure_rehearsal
from ft_ops.archive.keep.checks import (
    archive_records_are_shipped,
    archived_keys_have_segments,
    erasures_survive_a_restore,
)
from ft_ops.backups import full_was_begun
from ft_ops.orchestration.jobs import asset_job, run_request, schedule
from ft_ops.orchestration.resources import DatabaseResource, as_failure

ship_archive_records = asset_job(
    "ship_archive_records",
    dg.AssetSelection.assets("archive_records").without_checks(),
    "Puts tombstones, holds and the ledger's rows into the archive's bucket.",
    identity=True,
)

check_archive_records = asset_job(
    "check_archive_records",
    dg.AssetSelection.checks(
        archive_records_are_shipped,
        # It compares the audit log's ledger too, whose part of the room imports this one.
        dg.AssetCheckKey(dg.AssetKey("archive_records"), "archive_agrees_with_bucket"),
        archived_keys_have_segments,
        erasures_survive_a_restore,
    ),
    "Holds the database's ledgers, tombstones and holds against the bucket's.",
    identity=True,
)

rehearse_erasures = asset_job(
    "rehearse_erasures",
    dg.AssetSelection.assets("erasure_rehearsal").without_checks(),
    "Restores a backup from before an erasure, and proves that nobody who was erased comes back.",
    identity=True,
)


@dg.schedule(
    job=rehearse_erasures,
    cron_schedule="10 10 * * 6",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="One rehearsal a week; nothing before a new deployment's first backup.",
)
def rehearse_erasures_weekly(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask once a week. Whether backups are missing, their own checks say."""
    with as_failure(), database.connect("archive schedule") as connection:
        if not full_was_begun(connection):
            return dg.SkipReason("no full backup was begun yet that could bring anybody back")
    return run_request(run_key=context.scheduled_execution_time.isoformat())


defs = dg.Definitions(
    assets=[archive_records, erasure_rehearsal],
    asset_checks=[
        archive_records_are_shipped,
        archived_keys_have_segments,
        erasures_survive_a_restore,
    ],
    resources={"after_drill": after_drill},
    jobs=[ship_archive_records, check_archive_records, rehearse_erasures],
    schedules=[
        schedule("ship_archive_records_quarter_hourly", ship_archive_records, "*/15 * * * *"),
        rehearse_erasures_weekly,
        schedule("check_archive_records_daily", check_archive_records, "12 6 * * *"),
    ],
)
