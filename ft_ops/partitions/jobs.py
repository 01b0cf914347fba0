"""Jobs and schedules of the monthly partitions."""

import dagster as dg

from ft_ops.orchestration.internals import partition_range
from ft_ops.orchestration.jobs import asset_job, run_request, schedule
from ft_ops.orchestration.partitions import monthly
from ft_ops.partitions.assets import ASSET_KEYS, assets, checks

create_partitions = asset_job(
    "create_partitions",
    dg.AssetSelection.assets(*ASSET_KEYS.values()),
    "Creates monthly partitions, for one month or for any range in one run.",
)

check_partition_coverage = asset_job(
    "check_partition_coverage",
    dg.AssetSelection.checks(*checks),
    "Reads the catalog for gaps, misplaced bounds and pending detaches.",
)


@dg.schedule(
    job=create_partitions,
    cron_schedule="0 0 25 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Asks for every month from FT_FIRST_MONTH to the last one ahead, not for the newest "
        "alone: a missed tick leaves no hole."
    ),
)
def create_partitions_monthly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for one run over all months at the tick's time."""
    keys = monthly.get_partition_keys(current_time=context.scheduled_execution_time)
    return run_request(tags=partition_range(keys[0], keys[-1]))


coverage_daily = schedule(
    "check_partition_coverage_daily",
    check_partition_coverage,
    "30 0 * * *",
)

defs = dg.Definitions(
    assets=assets,
    asset_checks=checks,
    jobs=[create_partitions, check_partition_coverage],
    schedules=[create_partitions_monthly, coverage_daily],
)
