"""Jobs of what comes back from Glacier, and the sensor that waits for it."""

import dagster as dg

from ft_ops.archive.erase_assets import EraseConfig
from ft_ops.archive.month.states import TO_LOAD
from ft_ops.archive.month.thaws import Thaw, open_thaws, record_thaw_error
from ft_ops.archive.move.preflight import due_on
from ft_ops.archive.resources import DryRunOn, refuse_unknown_partition
from ft_ops.archive.run import ArchiveTarget, archive_target
from ft_ops.archive.thaw.thaw import answer
from ft_ops.archive.thaw_assets import ThawConfig
from ft_ops.clock import utc_now
from ft_ops.items import each
from ft_ops.orchestration.jobs import asset_job, run_request
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.orchestration.upkeep.ticks import ending
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings

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


@dg.sensor(
    jobs=[thaw_archived_content, refreeze_thawed_content, erase_archived_content],
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Waits for Glacier: loads thaws and erasures that have become readable, and takes "
    "thawed months whose time to live is over out of the database again.",
)
@ending
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
        target = archive_target(settings)

        def look(thaw: Thaw) -> dg.RunRequest | None:
            return _next_run(connection, target, settings, thaw, f"{thaw.id}-{thaw.state}-{hour}")

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
    connection: Connection, target: ArchiveTarget, settings: Settings, thaw: Thaw, run_key: str
) -> dg.RunRequest | None:
    """What is to be done for a thaw now, if anything."""
    refuse_unknown_partition(thaw.month)
    is_over = thaw.expires_at is not None and thaw.expires_at <= utc_now()
    if thaw.state == "refreezing" or (thaw.state == "thawed" and is_over):
        due = due_on(thaw.month, settings.retention_years)
        return _refreeze_request(thaw.month.key, run_key) if due <= utc_now() else None
    if thaw.state == "thawed":
        return None
    # A copy that has expired before it was loaded is asked for again by the same run.
    if thaw.state in TO_LOAD and answer(connection, target, thaw) == "waiting":
        return None
    if thaw.purpose == "erasure":
        return _erase_request(run_key)
    return _load_request(thaw.month.key, str(thaw.family_id or ""), run_key)


def _load_request(partition_key: str, family_id: str, run_key: str) -> dg.RunRequest:
    config = dg.RunConfig(ops={"thawed_content_segments": ThawConfig(family_id=family_id)})
    return run_request(
        run_key=run_key,
        job_name="thaw_archived_content",
        partition_key=partition_key,
        run_config=config,
    )


def _refreeze_request(partition_key: str, run_key: str) -> dg.RunRequest:
    config = dg.RunConfig(ops={"refrozen_content_segments": DryRunOn(dry_run=False)})
    return run_request(
        run_key=run_key,
        job_name="refreeze_thawed_content",
        partition_key=partition_key,
        run_config=config,
    )


def _erase_request(run_key: str) -> dg.RunRequest:
    config = dg.RunConfig(ops={"erased_archive_content": EraseConfig(dry_run=False)})
    return run_request(run_key=run_key, job_name="erase_archived_content", run_config=config)
