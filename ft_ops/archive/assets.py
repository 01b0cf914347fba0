"""Assets, checks, jobs and schedules of the archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
from pydantic import Field

from ft_ops.archive.content import TABLES, archived_name
from ft_ops.archive.cycle import archive_content
from ft_ops.archive.digest import total
from ft_ops.archive.export import ArchiveTarget
from ft_ops.archive.freeze import Lock
from ft_ops.archive.gates import PurgeRules
from ft_ops.archive.ledger import Generation, all_latest, latest, supersede
from ft_ops.archive.move import move_month
from ft_ops.archive.preflight import LOCKS, Preflight, due_months, preflight
from ft_ops.archive.purge import PurgePlan, plan_purge, purge_month
from ft_ops.archive.throttle import Limits, Throttle
from ft_ops.defs import HEAVY_POOL, OWNERS, monthly, utc_now
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.policy import Policy
from ft_ops.resources import Database, Settings, as_failure
from ft_ops.s3.bucket import open_bucket

UNFINISHED = frozenset(
    {"archiving", "archived", "exporting", "exported", "proving", "proven", "freezing"}
)
"""States from which `archive_old_content` has something left to do."""


class DryRunOff(dg.Config):
    """Launch config of what moves or copies a month."""

    dry_run: bool = Field(
        default=False, description="Only look: show what would be done and what is in the way."
    )


class DryRunOn(dg.Config):
    """Launch config of what deletes: by hand it is a dry run unless you say otherwise."""

    dry_run: bool = Field(
        default=True,
        description="Only look: evaluate every gate and delete nothing. The schedule turns this "
        "off; FT_PURGE_ENABLED must be true besides.",
    )


@contextmanager
def _month_at_work(database: Database, month: Month) -> Iterator[Connection]:
    """A connection that holds the month's advisory lock: one run a month at any time."""
    with (
        as_failure(),
        database.connect("archive") as connection,
        only_one(connection, f"archive {month}"),
    ):
        yield connection


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=["content_segments_partitions"],
    group_name="archive",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "A month past its retention, moved out of `content_segments` by DETACH CONCURRENTLY and "
        "ATTACH. No row is copied, and the application does not wait. Finishes a detach that a "
        "dead run left pending."
    ),
)
def archived_content_segments(
    context: dg.AssetExecutionContext, config: DryRunOff, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    month = Month.parse(context.partition_key)
    with _month_at_work(database, month) as connection:
        policy = settings.policy()
        seen = preflight(
            connection,
            month,
            retention_years=policy.retention_years,
            longest_snapshot_seconds=policy.longest_snapshot_seconds,
            now=utc_now(),
        )
        if config.dry_run:
            return dg.MaterializeResult(metadata={"dry run": True, **_preflight_metadata(seen)})
        if seen.fatal:
            raise Refused(
                f"archive of {month}",
                cause="; ".join(seen.fatal),
                next_step="see the preflight in this run's metadata by a dry run",
            )
        move = move_month(connection, month, run_id=context.run_id, log=context.log.info)
    return dg.MaterializeResult(
        metadata={
            **_preflight_metadata(seen),
            "table": archived_name(month),
            "generation": move.generation.number,
            "state": move.generation.state,
            "moved now": move.moved,
            "rows without a thread removed": move.orphans,
        }
    )


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=[archived_content_segments],
    group_name="archive",
    kinds={"parquet", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "The month's segments with their narrations, tags and links as Parquet in S3: exported in "
        "one snapshot, read back and proven row by row, then moved to Glacier. Goes on where an "
        "earlier run stopped; does nothing for a month that is done."
    ),
)
def content_archive(
    context: dg.AssetExecutionContext, config: DryRunOff, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    month = Month.parse(context.partition_key)
    with _month_at_work(database, month) as connection:
        policy = settings.policy()
        generation = latest(connection, month)
        if generation is None:
            raise Refused(
                f"archive of {month}",
                cause="the month was never moved to archived_content_segments",
                next_step="materialize archived_content_segments for it first",
            )
        if not config.dry_run:
            generation = archive_content(
                connection,
                policy.require_database_url(),
                _target(policy),
                generation,
                storage_class=policy.archive_storage_class,
                lock=policy.archive_lock_mode
                and Lock(policy.archive_lock_mode, policy.archive_lock_days),
                run_id=context.run_id,
                log=context.log.info,
            )
    return dg.MaterializeResult(
        metadata={"dry run": config.dry_run, **_generation_metadata(generation, policy)}
    )


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=[content_archive],
    group_name="archive",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "The month's rows, removed from the database once nothing speaks against it: proof, grace, "
        "legal holds, a verified backup younger than the proof, and the digest of every row taken "
        "again in the snapshot in which it is deleted."
    ),
)
def purged_content_segments(
    context: dg.AssetExecutionContext, config: DryRunOn, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    month = Month.parse(context.partition_key)
    with _month_at_work(database, month) as connection:
        policy = settings.policy()
        generation = latest(connection, month)
        if generation is None:
            raise Refused(
                f"purge of {month}",
                cause="nothing of it was archived",
                next_step="materialize archived_content_segments and content_archive first",
            )
        if generation.state == "purged":
            return dg.MaterializeResult(metadata={"decision": "done before"})
        plan = plan_purge(
            connection,
            open_bucket(policy.require_archive_bucket()),
            generation,
            PurgeRules(policy.purge_enabled, timedelta(days=policy.purge_grace_days)),
            utc_now(),
        )
        metadata = _plan_metadata(plan)
        if config.dry_run:
            return dg.MaterializeResult(metadata={"dry run": True, **metadata})
        if plan.decision == "export again":
            following = supersede(connection, generation, "; ".join(plan.changed), context.run_id)
            context.log.warning("%s: %s is exported next", "; ".join(plan.changed), following.name)
            return dg.MaterializeResult(metadata={"next": following.name, **metadata})
        purge = purge_month(
            connection,
            plan,
            _throttle(connection, policy, context),
            run_id=context.run_id,
            log=context.log.info,
        )
    return dg.MaterializeResult(
        metadata={
            **metadata,
            "segments removed": purge.segments,
            "segments that changed and stay": purge.kept,
            **({"next": purge.next.name} if purge.next else {}),
        }
    )


def _target(policy: Policy) -> ArchiveTarget:
    return ArchiveTarget(
        open_bucket(policy.require_archive_bucket()),
        policy.archive_prefix,
        policy.archive_part_bytes,
    )


def _throttle(
    connection: Connection, policy: Policy, context: dg.AssetExecutionContext
) -> Throttle:
    limits = Limits(
        replication_lag_seconds=policy.purge_pause_replication_lag_seconds,
        latency_ms=policy.purge_pause_latency_ms,
        longest_pause_seconds=policy.purge_longest_pause_seconds,
    )
    return Throttle(connection, limits, context.log.info)


def _preflight_metadata(seen: Preflight) -> dict[str, dg.MetadataValue]:
    return {
        "due on": dg.MetadataValue.timestamp(seen.due_on),
        "estimated rows": dg.MetadataValue.int(seen.estimated_rows),
        "bytes in the database": dg.MetadataValue.int(seen.bytes),
        "locks": dg.MetadataValue.json(list(LOCKS)),
        "in the way": dg.MetadataValue.table(
            [
                dg.TableRecord({"what": b.kind, "detail": b.detail, "stops it": b.fatal})
                for b in seen.blockers
            ],
            schema=dg.TableSchema(
                [
                    dg.TableColumn("what"),
                    dg.TableColumn("detail"),
                    dg.TableColumn("stops it", "bool"),
                ]
            ),
        ),
    }


def _generation_metadata(
    generation: Generation, policy: Policy
) -> dict[str, dg.MetadataValue | int | str]:
    bucket = policy.require_archive_bucket()
    rows = generation.rows
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "generation": generation.number,
        "state": generation.state,
        "dagster/partition_row_count": rows.get("content_segments", 0),
        "bytes in the bucket": generation.bytes,
        "rows": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "table": table,
                        "rows": rows.get(table, 0),
                        "digest": str(total((generation.digests or {}).get(table, {}))),
                    }
                )
                for table in TABLES
            ]
        ),
        "objects": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "object": f"s3://{bucket}/{item.stored.key}",
                        "rows": item.rows,
                        "bytes": item.stored.bytes,
                        "class": item.stored.storage_class,
                        "version": item.stored.version_id,
                        "sha256": item.stored.sha256,
                    }
                )
                for item in generation.objects
            ]
        ),
        "certificate": dg.MetadataValue.json(dict(generation.certificate or {})),
    }
    if generation.manifest is not None:
        metadata["manifest"] = dg.MetadataValue.url(f"s3://{bucket}/{generation.manifest.key}")
    return metadata


def _plan_metadata(plan: PurgePlan) -> dict[str, dg.MetadataValue | str]:
    return {
        "decision": plan.decision,
        "gates": dg.MetadataValue.table(
            [
                dg.TableRecord({"gate": g.name, "open": g.passed, "detail": g.detail})
                for g in plan.gates
            ]
        ),
        "changed since the proof": dg.MetadataValue.json(list(plan.changed)),
    }


archive_old_content = dg.define_asset_job(
    "archive_old_content",
    selection=[archived_content_segments, content_archive],
    description="Moves a month past its retention out of content_segments and into Glacier.",
)

purge_archived_content = dg.define_asset_job(
    "purge_archived_content",
    selection=[purged_content_segments],
    description="Removes a proven month from the database. A dry run when launched by hand.",
)


@dg.schedule(
    job=archive_old_content,
    cron_schedule="0 0 1 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="One run for each month that is due, and for each that an earlier run left.",
)
def archive_old_content_monthly(
    context: dg.ScheduleEvaluationContext, database: Database, settings: Settings
) -> list[dg.RunRequest] | dg.SkipReason:
    with as_failure(), database.connect("archive schedule") as connection:
        now = context.scheduled_execution_time
        months = {*due_months(connection, settings.policy().retention_years, now)}
        months |= {g.month for g in all_latest(connection) if g.state in UNFINISHED}
    if not months:
        return dg.SkipReason("no month is due")
    return [dg.RunRequest(partition_key=month.key) for month in sorted(months)]


@dg.schedule(
    job=archive_old_content,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Goes on with months that a run left between the move and the freeze.",
)
def finish_archives_daily(database: Database) -> list[dg.RunRequest] | dg.SkipReason:
    with as_failure(), database.connect("archive schedule") as connection:
        months = [g.month for g in all_latest(connection) if g.state in UNFINISHED]
    if not months:
        return dg.SkipReason("no archive is unfinished")
    return [dg.RunRequest(partition_key=month.key) for month in months]


@dg.schedule(
    job=purge_archived_content,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="One run for each frozen month past its grace; nothing while FT_PURGE_ENABLED "
    "is false.",
)
def purge_archived_content_daily(
    context: dg.ScheduleEvaluationContext, database: Database, settings: Settings
) -> list[dg.RunRequest] | dg.SkipReason:
    with as_failure():
        policy = settings.policy()
        if not policy.purge_enabled:
            return dg.SkipReason("FT_PURGE_ENABLED is not set to true")
        with database.connect("purge schedule") as connection:
            proven_before = context.scheduled_execution_time - timedelta(
                days=policy.purge_grace_days
            )
            months = [
                g.month
                for g in all_latest(connection)
                if g.state == "purging"
                or (g.state == "frozen" and g.proven_at and g.proven_at <= proven_before)
            ]
    config = dg.RunConfig(ops={"purged_content_segments": DryRunOn(dry_run=False)})
    return [
        dg.RunRequest(partition_key=month.key, run_config=config) for month in months
    ] or dg.SkipReason("no frozen month is past its grace")


defs = dg.Definitions(
    assets=[archived_content_segments, content_archive, purged_content_segments],
    jobs=[archive_old_content, purge_archived_content],
    schedules=[
        archive_old_content_monthly,
        finish_archives_daily,
        purge_archived_content_daily,
    ],
)
