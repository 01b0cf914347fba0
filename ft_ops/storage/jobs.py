"""The job of storage use, and what starts it: the clock, and content that leaves."""

from collections.abc import Mapping
from datetime import datetime

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.months import Month
from ft_ops.orchestration.internals import partition_range
from ft_ops.orchestration.jobs import asset_job, run_request
from ft_ops.orchestration.partitions import monthly
from ft_ops.storage.assets import (
    families_within_limits,
    family_storage,
    full_agrees_with_incremental,
    media_sizes,
    monthly_storage,
    user_storage,
)
from ft_ops.storage.family_jobs import report_family_storage
from ft_ops.storage.resources import StorageConfig

recompute_storage = asset_job(
    "recompute_storage",
    ["media_sizes", "monthly_storage", "family_storage", "user_storage"],
    (
        "Counts the months that changed and writes the totals of families and users. With "
        "`full: true` counts every month and compares."
    ),
    identity=True,
)


def _months_until_now(now: datetime) -> Mapping[str, str]:
    """Tags for the months up to the current one; those ahead are empty until their time comes."""
    first = monthly.get_first_partition_key()
    assert first is not None
    return partition_range(first, max(first, Month.of(now).key))


@dg.schedule(
    job=recompute_storage,
    cron_schedule="0 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Counts what changed since the run before.",
)
def recompute_storage_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run over all months, which counts only those that changed."""
    return run_request(tags=_months_until_now(context.scheduled_execution_time))


@dg.schedule(
    job=recompute_storage,
    cron_schedule="0 3 * * 6",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Counts every month, and compares with what the daily runs arrived at.",
)
def recompute_storage_fully_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run that counts all of them."""
    return run_request(
        tags=_months_until_now(context.scheduled_execution_time),
        run_config=dg.RunConfig(ops={"monthly_storage": StorageConfig(full=True)}),
    )


def _after(asset: str) -> dg.SensorDefinition:
    @dg.asset_sensor(
        asset_key=dg.AssetKey(asset),
        job=recompute_storage,
        name=f"recompute_storage_after_{asset}",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"What left the hot table with `{asset}` stops counting within minutes.",
    )
    def sensor(_context: dg.SensorEvaluationContext, event: dg.EventLogEntry) -> dg.RunRequest:
        return run_request(
            run_key=f"{event.run_id}:{event.timestamp}", tags=_months_until_now(utc_now())
        )

    return sensor


defs = dg.Definitions(
    assets=[media_sizes, monthly_storage, family_storage, user_storage],
    asset_checks=[full_agrees_with_incremental, families_within_limits],
    jobs=[recompute_storage, report_family_storage],
    schedules=[recompute_storage_daily, recompute_storage_fully_weekly],
    sensors=[_after("archived_content_segments"), _after("purged_content_segments")],
)
