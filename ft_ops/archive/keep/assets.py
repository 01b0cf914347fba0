"""Assets of what lies in the bucket beside the archive, and of what becomes of it in a recovery."""

import dagster as dg
from pydantic import Field

from ft_ops.archive.erase.held import search_unsearched
from ft_ops.archive.hold.holds import active_holds
from ft_ops.archive.hold.lines import unlisted_words
from ft_ops.archive.hold.told import refuse_silenced
from ft_ops.archive.keep.rehearsal import (
    point_to_rehearse,
    record_rehearsal,
    rehearsal_in_drill,
    rehearse_erasures,
    unproven,
)
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.run import archive_run
from ft_ops.backups import AfterDrill, Log, NextStep, open_workplace, restored_copy
from ft_ops.format import human_duration
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings


@dg.resource(
    description="What a restore drill does in its copy once that is proven: the tombstones are "
    "applied to it, and nobody who was erased may be left. Nothing without FT_ARCHIVE_BUCKET."
)
def after_drill(_context: dg.InitResourceContext) -> AfterDrill:
    """The backups' drill gets it from here: it must not know of the archive."""
    return _after_drill


def _after_drill(
    connection: Connection, settings: Settings, run_id: str, log: Log
) -> NextStep | None:
    if settings.archive_bucket is None:
        return None
    return rehearsal_in_drill(archive_run(connection, settings, run_id, log))


class ErasureRehearsalConfig(dg.Config):
    """Launch config of the rehearsal."""

    at: str = Field(
        default="",
        description="A backup's name, or a moment such as 2026-11-24T18:00Z: the newest point "
        "before it. Empty: the newest one that was taken before the newest erasure.",
    )


@dg.asset(
    deps=["archive_records", "restore_drill"],
    group_name="archive",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "The step of a recovery that lets nobody back in, done on a copy: a backup from before the "
        "newest erasure is restored in isolation, the bucket's tombstones are applied to it, and "
        "every table is asked for what they name."
    ),
)
def erasure_rehearsal(
    context: dg.AssetExecutionContext,
    config: ErasureRehearsalConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with as_failure(), database.connect("erasure rehearsal") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        work = open_workplace(settings, connection)
        with restored_copy(work, config.at or point_to_rehearse(connection), run.log) as copy:
            found = rehearse_erasures(copy.connection, run.target)
            record_rehearsal(connection, copy.point, copy.at, found, run.run_id)
        problem = unproven(found, copy.point)
        if problem is not None:
            raise problem
    return dg.MaterializeResult(
        metadata={
            "restored to": copy.point,
            "everything committed before": f"{copy.at:%F %T}Z",
            "tombstones": found.tombstones,
            "deleted from the copy": found.deleted,
            "newest tombstone": f"{found.newest:%F %T}Z" if found.newest else "none",
        }
    )


@dg.asset(
    group_name="archive",
    kinds={"s3"},
    owners=OWNERS,
    description=(
        "Tombstones, legal holds and the ledger's rows in the archive's bucket, in STANDARD: with "
        "them the bucket alone is enough to rebuild what the database knows of the archive. What "
        "was erased since the last run is known to this database alone. Searches the archives for "
        "holds that they were not searched for when these were placed."
    ),
)
def archive_records(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with as_failure(), database.connect("archive records") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        shipped = ship_records(run)
        refuse_silenced(connection)
        searched = search_unsearched(run)
        standing = active_holds(connection)
        searched.refuse_failures("legal holds on what the archive alone has")
    return dg.MaterializeResult(
        metadata={
            "tombstones and holds": shipped.events,
            "the oldest had waited": human_duration(shipped.waited_seconds),
            "generations": table(["generation"], [(name,) for name in shipped.generations]),
            "holds that the archives were searched for": len(searched.results),
            "links that no hold knows": table(
                ["hold", "months"],
                [(str(hold), words) for hold in standing if (words := unlisted_words(hold))],
            ),
        }
    )
