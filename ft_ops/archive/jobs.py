"""Jobs, schedules and the sensor of the archive: what runs when, for which months."""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from ft_ops.archive.assets import (
    archived_content_segments,
    content_archive,
    purged_content_segments,
)
from ft_ops.archive.checks import archive_bucket_is_safe, archived_objects_are_there
from ft_ops.archive.erase_assets import (
    EraseConfig,
    erased_archive_content,
    superseded_archive_content,
)
from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.ledger import all_in_database
from ft_ops.archive.month.states import TO_LOAD, UNFINISHED
from ft_ops.archive.month.thaws import Thaw, open_thaws, record_thaw_error
from ft_ops.archive.move.preflight import due_months, due_on
from ft_ops.archive.resources import DryRunOn
from ft_ops.archive.run import archive_target
from ft_ops.archive.thaw.thaw import answer
from ft_ops.archive.thaw_assets import (
    ThawConfig,
    refrozen_content_segments,
    thawed_content_segments,
)
from ft_ops.clock import utc_now
from ft_ops.errors import Refused
from ft_ops.items import each
from ft_ops.months import Month
from ft_ops.orchestration.jobs import asset_job, schedule
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
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

thaw_archived_content = asset_job(
    "thaw_archived_content",
    ["thawed_content_segments"],
    "Brings a purged month, or one family of it, back from Glacier for a time.",
    identity=True,
)

refreeze_thawed_content = asset_job(
    "refreeze_thawed_content",
    ["refrozen_content_segments"],
    "Takes a thawed month out of the database again. A dry run by hand.",
    identity=True,
)

erase_archived_content = asset_job(
    "erase_archived_content",
    ["erased_archive_content"],
    "Rewrites archives that hold erased content. A dry run by hand.",
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
    dg.AssetSelection.checks(archive_bucket_is_safe, archived_objects_are_there),
    "Reads the settings of the archive's bucket, and looks for every object of the archive.",
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
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), run_config=config)


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

    Late rows of a month that is still in the archive's table wait until that is purged.
    """
    with as_failure(), database.connect("archive schedule") as connection:
        due = due_months(connection, settings.retention_years, context.scheduled_execution_time)
        waiting = {partition.month for partition in partitions_of(connection, ARCHIVED)}
        waiting |= {thaw.month for thaw in open_thaws(connection)}
        months = [month for month in due if month not in waiting]
    if not months:
        return dg.SkipReason("no month is due")
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
    with as_failure(), database.connect("purge schedule") as connection:
        proven_before = context.scheduled_execution_time - timedelta(days=settings.purge_grace_days)
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
            and g.proven_at is not None
            and g.proven_at <= proven_before
        )
    ]
    if not months:
        return dg.SkipReason("no frozen month is past its grace")
    config = dg.RunConfig(ops={"purged_content_segments": DryRunOn(dry_run=False)})
    return _requests(months, context, config)


@dg.sensor(
    jobs=[thaw_archived_content, refreeze_thawed_content, erase_archived_content],
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Waits for Glacier: loads thaws and erasures that have become readable, and takes "
    "thawed months whose time to live is over out of the database again.",
)
def thaws_in_progress(
    context: dg.SensorEvaluationContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> list[dg.RunRequest] | dg.SkipReason:
    """One request a thaw and state; a run that failed is asked for again the next hour.

    A thaw that can't be looked at has its error in the ledger, and does not stop the others.
    """
    hour = f"{utc_now():%Y-%m-%dT%H}"
    with as_failure(), database.connect("thaw sensor") as connection:
        thaws = open_thaws(connection)
        if not thaws:
            return dg.SkipReason("no month is thawed or asked back")
        bucket = archive_target(settings).bucket

        def look(thaw: Thaw) -> dg.RunRequest | None:
            return _next_run(connection, bucket, settings, thaw, f"{thaw.id}-{thaw.state}-{hour}")

        worked = each(thaws, look, name=lambda thaw: thaw.name, log=context.log.error)
        problems = {failed.name: str(failed) for failed in worked.failed}
        for thaw in thaws:
            record_thaw_error(connection, thaw, problems.get(thaw.name))
    requests = [request for request in worked.results if request is not None]
    if requests:
        return requests
    waiting = "Glacier has not brought anything back yet"
    return dg.SkipReason("; ".join(problems.values()) or waiting)


def _next_run(
    connection: Connection, bucket: Bucket, settings: Settings, thaw: Thaw, run_key: str
) -> dg.RunRequest | None:
    """What is to be done for a thaw now, if anything."""
    _refuse_unknown(thaw.month)
    is_over = thaw.expires_at is not None and thaw.expires_at <= utc_now()
    if thaw.state == "refreezing" or (thaw.state == "thawed" and is_over):
        due = due_on(thaw.month, settings.retention_years)
        return _refreeze_request(thaw.month.key, run_key) if due <= utc_now() else None
    if thaw.state == "thawed":
        return None
    # A copy that has expired before it was loaded is asked for again by the same run.
    if thaw.state in TO_LOAD and answer(connection, bucket, thaw) == "waiting":
        return None
    if thaw.purpose == "erasure":
        return _erase_request(run_key)
    return _load_request(thaw.month.key, str(thaw.family_id or ""), run_key)


def _refuse_unknown(month: Month) -> None:
    """Refused for a month before FT_FIRST_MONTH: Dagster has no partition of it."""
    if not monthly.has_partition_key(month.key):
        raise Refused(
            f"month {month}",
            cause="it is none of Dagster's partitions, which begin with FT_FIRST_MONTH",
            next_step=f"set FT_FIRST_MONTH to {month} or earlier",
        )


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
        _refuse_unknown(month)
        return dg.RunRequest(
            run_key=f"{month}@{tick}", partition_key=month.key, run_config=config or {}
        )

    worked = each(months, request, name=lambda month: f"month {month}", log=context.log.error)
    return worked.results or dg.SkipReason("; ".join(map(str, worked.failed)))


def _load_request(partition_key: str, family_id: str, run_key: str) -> dg.RunRequest:
    config = dg.RunConfig(ops={"thawed_content_segments": ThawConfig(family_id=family_id)})
    return dg.RunRequest(
        run_key=run_key,
        job_name="thaw_archived_content",
        partition_key=partition_key,
        run_config=config,
    )


def _refreeze_request(partition_key: str, run_key: str) -> dg.RunRequest:
    config = dg.RunConfig(ops={"refrozen_content_segments": DryRunOn(dry_run=False)})
    return dg.RunRequest(
        run_key=run_key,
        job_name="refreeze_thawed_content",
        partition_key=partition_key,
        run_config=config,
    )


def _erase_request(run_key: str) -> dg.RunRequest:
    config = dg.RunConfig(ops={"erased_archive_content": EraseConfig(dry_run=False)})
    return dg.RunRequest(run_key=run_key, job_name="erase_archived_content", run_config=config)


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
    asset_checks=[archive_bucket_is_safe, archived_objects_are_there],
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
