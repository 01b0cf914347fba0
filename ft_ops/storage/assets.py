"""Assets, checks, jobs, schedules and sensors of storage use."""

import base64
from collections.abc import Iterable, Mapping
from datetime import timedelta
from uuid import UUID

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from pydantic import Field

from ft_ops.defs import HEAVY_POOL, OWNERS, monthly, utc_now
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.policy import Policy
from ft_ops.resources import Database, Settings, as_failure
from ft_ops.storage.changes import ESTIMATES, MediaVersion
from ft_ops.storage.family import family_usage
from ft_ops.storage.media import load_media, media_version
from ft_ops.storage.publish import Published, publish_families, publish_users
from ft_ops.storage.recompute import Recomputation, recompute_changed, recompute_everything
from ft_ops.storage.report import (
    FamilyLimit,
    estimate_error,
    families_over_limit,
    growth_picture,
    kinds_frame,
    months_frame,
    top_families,
)
from ft_ops.storage.snapshot import Snapshot, latest_full

SHOWN_FAMILIES = 20
SHOWN_MONTHS = 120

Metadata = Mapping[str, dg.MetadataValue[object] | int | float | str | bool]


class StorageConfig(dg.Config):
    """Launch config of `monthly_storage`."""

    full: bool = Field(
        default=False,
        description="Count every month, whatever the signals say, add every sum up anew, and "
        "report what differs from the incremental figures. The weekly schedule turns this on.",
    )


class FamilyConfig(dg.Config):
    """Launch config of `report_family_storage`."""

    family_id: str = Field(description="The id of the family whose storage is to be shown.")


@dg.asset(
    group_name="storage",
    kinds={"s3", "postgres"},
    owners=OWNERS,
    description=(
        "Real sizes of recordings and photos, from the S3 Inventory or the bucket prefix that "
        "FT_MEDIA_INVENTORY names. Does nothing when that is unset: both then count by estimate."
    ),
)
def media_sizes(
    context: dg.AssetExecutionContext, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    location = settings.policy().media_inventory
    if location is None:
        return dg.MaterializeResult(metadata={"source": "estimates"})
    with as_failure(), database.connect("storage") as connection:
        inventory = load_media(connection, location, now=utc_now(), log=context.log.info)
    return dg.MaterializeResult(
        metadata={
            "source": inventory.source,
            "taken at": dg.MetadataValue.timestamp(inventory.taken_at),
            "dagster/row_count": inventory.objects,
            "bytes": inventory.bytes,
            "added": inventory.added,
            "resized or gone": inventory.altered,
        }
    )


@dg.asset(
    partitions_def=monthly,
    # One snapshot for all months: a run a month would be a snapshot a month.
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[media_sizes, "content_segments_partitions", "archived_content_segments"],
    group_name="storage",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "`ops.storage_rollup`: bytes by month, book and user of everything in "
        "`content_segments`; archived content does not count. Whatever range a run names, it "
        "counts every month that changed, and only those, in one snapshot: the totals of families "
        "and users are always those of that snapshot."
    ),
)
def monthly_storage(
    context: dg.AssetExecutionContext, config: StorageConfig, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    recompute = recompute_everything if config.full else recompute_changed
    with as_failure(), database.connect("storage") as connection:
        done = recompute(
            connection,
            run_id=context.run_id,
            media=_media(connection, settings.policy()),
            log=context.log.info,
        )
        report = _report(connection)
    _name_months(context, done)
    return dg.MaterializeResult(
        metadata={
            **_snapshot_metadata(done.snapshot),
            "counted": done.kind,
            "months": done.months,
            "months counted": len(done.counted),
            "disagreements": done.disagreements,
            "why": _table(
                {
                    "month": str(counted.month),
                    "reason": done.reasons.get(counted.month, "full recomputation"),
                    "segments": counted.segments,
                    "bytes": counted.bytes,
                    "rows that differed": counted.differing,
                }
                for counted in done.counted[-SHOWN_MONTHS:]
            ),
            **report,
        }
    )


def _media(connection: Connection, policy: Policy) -> MediaVersion:
    return ESTIMATES if policy.media_inventory is None else media_version(connection)


def _name_months(context: dg.AssetExecutionContext, done: Recomputation) -> None:
    """Give each month that was counted its own figures, also those outside the run's range."""
    here = set(context.partition_keys)
    known = set(monthly.get_partition_keys(current_time=utc_now()))
    for counted in done.counted:
        figures = {"dagster/partition_row_count": counted.segments, "bytes": counted.bytes}
        if counted.month.key in here:
            context.add_asset_metadata(figures, partition_key=counted.month.key)
        elif counted.month.key in known:
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=context.asset_key, partition=counted.month.key, metadata=figures
                )
            )


def _report(connection: Connection) -> Metadata:
    months = months_frame(connection)
    error = estimate_error(months)
    picture = base64.b64encode(growth_picture(months)).decode()
    return {
        "growth": dg.MetadataValue.md(f"![growth by month](data:image/png;base64,{picture})"),
        "by kind": _table(
            {"kind": kind, "bytes": sum_of_kind, "percent": percent}
            for kind, sum_of_kind, percent in kinds_frame(months).itertuples(index=False)
        ),
        "bytes": int(months["bytes"].sum()),
        "recordings and photos": error.media,
        "counted by estimate": error.unsized,
        "real sizes against the estimate, percent": error.percent,
    }


@dg.asset(
    deps=[monthly_storage],
    group_name="storage",
    kinds={"postgres"},
    owners=OWNERS,
    description=(
        "`families.storage_used_bytes`: everything in the family's books, by whomever. Written "
        "only where it changed, in small batches that wait for nobody."
    ),
)
def family_storage(
    context: dg.AssetExecutionContext, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    policy = settings.policy()
    with as_failure(), database.connect("storage") as connection:
        published = publish_families(
            connection,
            batch_rows=policy.storage_batch_rows,
            lock_wait_ms=policy.storage_lock_wait_ms,
            log=context.log.info,
        )
        largest = top_families(connection, most=SHOWN_FAMILIES)
    return dg.MaterializeResult(
        metadata={**_published_metadata(published), "top families": _limits_table(largest)}
    )


@dg.asset(
    deps=[monthly_storage],
    group_name="storage",
    kinds={"postgres"},
    owners=OWNERS,
    description=(
        "`users.storage_used_bytes`: everything the user has written, in whatever family. "
        "Written only where it changed, in small batches that wait for nobody."
    ),
)
def user_storage(
    context: dg.AssetExecutionContext, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    policy = settings.policy()
    with as_failure(), database.connect("storage") as connection:
        published = publish_users(
            connection,
            batch_rows=policy.storage_batch_rows,
            lock_wait_ms=policy.storage_lock_wait_ms,
            log=context.log.info,
        )
    return dg.MaterializeResult(metadata=_published_metadata(published))


def _snapshot_metadata(snapshot: Snapshot) -> Metadata:
    return {
        "snapshot": snapshot.name,
        "snapshot taken at": dg.MetadataValue.timestamp(snapshot.taken_at),
        "snapshot LSN": snapshot.lsn,
    }


def _published_metadata(published: Published) -> Metadata:
    return {
        **_snapshot_metadata(published.snapshot),
        "rows written": published.written,
        "rounds": published.rounds,
    }


def _limits_table(families: Iterable[FamilyLimit]) -> dg.TableMetadataValue:
    return _table(
        {
            "family": str(family.id),
            "name": family.name,
            "tier": family.subscription_tier or "",
            "bytes": family.bytes,
            "limit": "none" if family.limit_bytes is None else str(family.limit_bytes),
            "percent": "" if family.percent is None else f"{family.percent:.1f}",
        }
        for family in families
    )


def _table(rows: Iterable[Mapping[str, str | int | float]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])


@dg.asset_check(
    asset=monthly_storage,
    description=(
        "The last full recomputation found every month that the signals called unchanged equal "
        "to the byte, and it is not overdue."
    ),
)
def full_agrees_with_incremental(database: Database, settings: Settings) -> dg.AssetCheckResult:
    days = settings.policy().storage_full_days
    with as_failure(), database.connect("storage") as connection:
        full = latest_full(connection)
    if full is None:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="no month has been verified yet: run recompute_storage with full",
        )
    overdue = utc_now() - full.taken_at > timedelta(days=days)
    description = "every unchanged month was equal to the byte"
    if overdue:
        description = f"the last full recomputation is more than {days} days old"
    if full.disagreements:
        description = (
            f"{full.disagreements} rows of months called unchanged were not as counted; they "
            "have been put right"
        )
    return dg.AssetCheckResult(
        passed=not full.disagreements and not overdue,
        severity=(
            dg.AssetCheckSeverity.ERROR if full.disagreements else dg.AssetCheckSeverity.WARN
        ),
        description=description,
        metadata={
            "full recomputation at": dg.MetadataValue.timestamp(full.taken_at),
            "disagreements": full.disagreements,
            "examples": dg.MetadataValue.json(list(full.examples)),
        },
    )


@dg.asset_check(
    asset=family_storage,
    description=(
        "No family is above FT_STORAGE_WARN_PERCENT of its storage_limit_bytes, or above all of it."
    ),
)
def families_within_limits(database: Database, settings: Settings) -> dg.AssetCheckResult:
    percent = settings.policy().storage_warn_percent
    with as_failure(), database.connect("storage") as connection:
        over = families_over_limit(connection, warn_percent=percent, most=SHOWN_FAMILIES)
    return dg.AssetCheckResult(
        passed=over.above_warning == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{over.above_warning} families above {percent} % of their limit, "
            f"{over.above_limit} of them above 100 %"
        ),
        metadata={
            f"above {percent} %": over.above_warning,
            "above 100 %": over.above_limit,
            "families": _limits_table(over.families),
        },
    )


recompute_storage = dg.define_asset_job(
    "recompute_storage",
    selection=dg.AssetSelection.assets(media_sizes, monthly_storage, family_storage, user_storage),
    description=(
        "Counts the months that changed and writes the totals of families and users. With "
        "`full: true` counts every month and compares."
    ),
)


def _all_months(context: dg.ScheduleEvaluationContext) -> Mapping[str, str]:
    now = context.scheduled_execution_time
    return _range_tags(now_key=Month.of(now).key)


def _range_tags(now_key: str) -> Mapping[str, str]:
    """The months up to the current one; those ahead are empty until their time comes."""
    first = monthly.get_first_partition_key()
    assert first is not None
    return {
        ASSET_PARTITION_RANGE_START_TAG: first,
        ASSET_PARTITION_RANGE_END_TAG: max(first, now_key),
    }


@dg.schedule(
    job=recompute_storage,
    cron_schedule="0 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Counts what changed since the run before.",
)
def recompute_storage_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(tags=_all_months(context))


@dg.schedule(
    job=recompute_storage,
    cron_schedule="0 3 * * 6",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Counts every month, and compares with what the daily runs arrived at.",
)
def recompute_storage_fully_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(
        tags=_all_months(context),
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
        return dg.RunRequest(
            run_key=f"{event.run_id}:{event.timestamp}", tags=_range_tags(Month.of(utc_now()).key)
        )

    return sensor


@dg.op(description="Counts one family's books from their content, and shows them.")
def family_storage_report(
    context: dg.OpExecutionContext, config: FamilyConfig, database: Database
) -> None:
    with as_failure(), database.connect("storage") as connection:
        usage = family_usage(connection, _uuid(config.family_id))
    context.add_output_metadata(
        {
            "family": usage.name,
            "bytes": usage.used_bytes,
            "limit": "none" if usage.limit_bytes is None else usage.limit_bytes,
            "books": _table(
                {
                    "book": str(book.memory_book_id),
                    "title": book.title,
                    "segments": book.segment_count,
                    "text bytes": book.text_bytes,
                    "recordings": book.audio_count,
                    "photos": book.photo_count,
                    "bytes": book.total_bytes,
                }
                for book in usage.books
            ),
        }
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise OpsError(
            f"family {text!r}",
            cause="that is no id",
            next_step="give the family's id, such as 0f8fad5b-d9cb-469f-a165-70867728950e",
        ) from error


@dg.job(description="The storage of one family, book by book: give its id in the launch config.")
def report_family_storage() -> None:
    family_storage_report()


defs = dg.Definitions(
    assets=[media_sizes, monthly_storage, family_storage, user_storage],
    asset_checks=[full_agrees_with_incremental, families_within_limits],
    jobs=[recompute_storage, report_family_storage],
    schedules=[recompute_storage_daily, recompute_storage_fully_weekly],
    sensors=[_after("archived_content_segments"), _after("purged_content_segments")],
)
