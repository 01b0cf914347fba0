"""The job and the schedule of the archive's drill."""

import dagster as dg

from ft_ops.archive.drill.assets import archive_drill
from ft_ops.archive.drill.checks import archive_is_proven
from ft_ops.archive.drill.drills import is_due
from ft_ops.clock import utc_now
from ft_ops.orchestration.jobs import asset_job, run_request
from ft_ops.orchestration.resources import DatabaseResource, as_failure

drill_archive = asset_job(
    "drill_archive",
    dg.AssetSelection.assets("archive_drill").without_checks(),
    "Retrieves one archived month, loads it beside and proves it.",
    identity=True,
)


@dg.schedule(
    job=drill_archive,
    cron_schedule="40 8 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="One month each month: daily until it has come to a verdict.",
)
def drill_archive_daily(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask on the first of the month, and daily while Glacier has not answered."""
    with as_failure(), database.connect("archive drill") as connection:
        if not is_due(connection, utc_now()):
            return dg.SkipReason("this month's drill has come to a verdict, or nothing is purged")
    return run_request(run_key=context.scheduled_execution_time.isoformat())


defs = dg.Definitions(
    assets=[archive_drill],
    asset_checks=[archive_is_proven],
    jobs=[drill_archive],
    schedules=[drill_archive_daily],
)
