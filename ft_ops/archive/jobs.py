"""Jobs and schedules of the archive: what runs when, for which months."""

from collections.abc import Sequence

import dagster as dg

from ft_ops.archive.assets import (
    archived_content_segments,
    content_archive,
    purged_content_segments,
)
from ft_ops.archive.checks import (
    archive_agrees_with_bucket,
    archive_bucket_is_safe,
    archived_objects_are_there,
)
from ft_ops.archive.drill.checks import archive_is_proven
from ft_ops.archive.erase_assets import (
    erased_archive_content,
    superseded_archive_content,
)
from ft_ops.archive.month.in_states import all_in_database
from ft_ops.archive.month.states import UNFINISHED
from ft_ops.archive.month.thaws import open_thaws
from ft_ops.archive.move.late_rows import late_rows_wait_for
from ft_ops.archive.move.preflight import due_months
from ft_ops.archive.purge.gates import grace_ends
from ft_ops.archive.resources import DryRunOn, refuse_unknown_partition
from ft_ops.archive.run import rules_of
from ft_ops.archive.thaw_assets import (
    refrozen_content_segments,
    thawed_content_segments,
)
from ft_ops.archive.thaw_jobs import (
    erase_archived_content,
    refreeze_thawed_content,
    thaw_archived_content,
    thaws_in_progress,
)
from ft_ops.items import each
from ft_ops.months import Month
from ft_ops.orchestration.jobs import asset_job, run_request, schedule
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings

archive_old_content = asset_job(
    "archive_old_content",
    # The checks of the bucket have a job of their own, and so has what it needs of AWS.
    dg.AssetSelection.assets("archived_content_segments", "content_archive")
    - dg.AssetSelection.checks(archive_bucket_is_safe, archived_objects_are_there),
    "Moves a month past its retention out of content_segments and into Glacier.",
    identity=True,
)

purge_archived_content = asset_job(
    "purge_archived_content",
    ["purged_content_segments"],
    "Removes a proven month from the database. A dry run when launched by hand.",
    identity=True,
)

remove_superseded_content = asset_job(
    "remove_superseded_content",
    ["superseded_archive_content"],
    "Removes objects that another generation or version replaces. A dry run by hand.",
    identity=True,
)

check_archive_bucket = asset_job(
    "check_archive_bucket",
    dg.AssetSelection.checks(archive_bucket_is_safe, archived_objects_are_there, archive_is_proven),
    "Reads the settings of the archive's bucket, looks for every object, and judges the drills.",
    identity=True,
)

check_archive_bucket_daily = schedule(
    "check_archive_bucket_daily", check_archive_bucket, "45 0 * * *"
)


@dg.schedule(
    job=remove_superseded_content,
    cron_schedule="30 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="What a generation of yesterday replaces is gone today; nothing while "
    "FT_PURGE_ENABLED is false.",
)
def remove_superseded_content_daily(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """Ask once a day: what was erased may still lie in a generation that is replaced."""
    if not settings.purge_enabled:
        return dg.SkipReason("FT_PURGE_ENABLED is not set to true")
    config = dg.RunConfig(ops={"superseded_archive_content": DryRunOn(dry_run=False)})
    return run_request(run_key=context.scheduled_execution_time.isoformat(), run_config=config)


@dg.schedule(
    job=archive_old_content,
    cron_schedule="0 0 1 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="One run for each month that is due.",
)
def archive_old_content_monthly(
    context: dg.ScheduleEvaluationContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for every month that is due, not for the newest alone: a missed tick skips nothing.

    Late rows wait until what their month was before has ended: `late_rows_wait_for`.
    """
    with as_failure(), database.connect("archive schedule") as connection:
        due = due_months(connection, settings.retention_years, context.scheduled_execution_time)
        obstacles = {month: late_rows_wait_for(connection, month) for month in due}
    months = [month for month, obstacle in obstacles.items() if obstacle is None]
    if not months:
        waiting = [f"{month} waits: {obstacle}" for month, obstacle in obstacles.items()]
        return dg.SkipReason("; ".join(waiting) or "no month is due")
    return _requests(months, context)


@dg.schedule(
    job=archive_old_content,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Goes on with months that a run left between the move and the freeze.",
)
def finish_archives_daily(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for the months whose generation in the database is unfinished, and not asked back."""
    with as_failure(), database.connect("archive schedule") as connection:
        busy = {thaw.month for thaw in open_thaws(connection)}
        months = [
            g.month
            for g in all_in_database(connection)
            if g.state in UNFINISHED and g.month not in busy
        ]
    if not months:
        return dg.SkipReason("no archive is unfinished")
    return _requests(months, context)


@dg.schedule(
    job=purge_archived_content,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="One run for each frozen month past its grace; nothing while FT_PURGE_ENABLED "
    "is false.",
)
def purge_archived_content_daily(
    context: dg.ScheduleEvaluationContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for months past their grace, and for those whose purge was begun.

    The latter also when FT_PURGE_ENABLED is false by now: what is left of them is put back. A month
    that is asked back waits.
    """
    rules = rules_of(settings)
    with as_failure(), database.connect("purge schedule") as connection:
        busy = {thaw.month for thaw in open_thaws(connection)}
        standing = all_in_database(connection)
    begun = [g.month for g in standing if g.state == "purging"]
    if not settings.purge_enabled and not begun:
        return dg.SkipReason("FT_PURGE_ENABLED is not set to true")
    months = [
        g.month
        for g in standing
        if g.state == "purging"
        or (
            settings.purge_enabled
            and g.state == "frozen"
            and g.month not in busy
            and (ends := grace_ends(g, rules)) is not None
            and ends <= context.scheduled_execution_time
        )
    ]
    if not months:
        return dg.SkipReason("no frozen month is past its grace")
    config = dg.RunConfig(ops={"purged_content_segments": DryRunOn(dry_run=False)})
    return _requests(months, context, config)


def _requests(
    months: Sequence[Month],
    context: dg.ScheduleEvaluationContext,
    config: dg.RunConfig | None = None,
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run a month; the key lets a tick that is evaluated twice ask only once.

    A month that Dagster has no partition of is named in the log, and does not stop the others.
    """
    tick = context.scheduled_execution_time.isoformat()

    def request(month: Month) -> dg.RunRequest:
        refuse_unknown_partition(month)
        return run_request(run_key=f"{month}@{tick}", partition_key=month.key, run_config=config)

    worked = each(months, request, name=lambda month: f"month {month}", log=context.log.error)
    return worked.results or dg.SkipReason("; ".join(map(str, worked.failed)))


defs = dg.Definitions(
    assets=[
        archived_content_segments,
        content_archive,
        purged_content_segments,
        thawed_content_segments,
        refrozen_content_segments,
        erased_archive_content,
        superseded_archive_content,
    ],
    asset_checks=[
        archive_bucket_is_safe,
        archived_objects_are_there,
        archive_agrees_with_bucket,
    ],
    jobs=[
        archive_old_content,
        purge_archived_content,
        thaw_archived_content,
        refreeze_thawed_content,
        erase_archived_content,
        remove_superseded_content,
        check_archive_bucket,
    ],
    schedules=[
        check_archive_bucket_daily,
        archive_old_content_monthly,
        finish_archives_daily,
        purge_archived_content_daily,
        remove_superseded_content_daily,
    ],
    sensors=[thaws_in_progress],
)
