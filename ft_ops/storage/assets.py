"""Assets and checks of storage use."""

import base64
from collections.abc import Iterable
from datetime import timedelta

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.format import human_bytes
from ft_ops.orchestration.internals import RawMetadataMapping
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings
from ft_ops.standing import stale_since
from ft_ops.storage.changes import ESTIMATES, MediaVersion
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
from ft_ops.storage.resources import StorageConfig
from ft_ops.storage.snapshot import Snapshot, first_recomputation, latest_full

SHOWN_FAMILIES = 20
SHOWN_MONTHS = 120


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
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    location = settings.media_inventory
    if location is None:
        return dg.MaterializeResult(metadata={"source": "estimates"})
    with as_failure(), database.connect("storage") as connection:
        inventory = load_media(connection, location, now=utc_now(), log=context.log.info)
    return dg.MaterializeResult(
        metadata={
            "source": inventory.source,
            "taken at": dg.MetadataValue.timestamp(inventory.taken_at),
            "dagster/row_count": inventory.objects,
            "bytes": human_bytes(inventory.bytes),
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
    context: dg.AssetExecutionContext,
    config: StorageConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    asked_for = frozenset(context.partition_keys)
    recompute = recompute_everything if config.full else recompute_changed
    with as_failure(), database.connect("storage") as connection:
        done = recompute(
            connection,
            lambda: database.connect("storage reader"),
            readers=settings.storage_readers,
            run_id=context.run.run_id,
            media=_media(connection, settings),
            log=context.log.info,
        )
        report = _report(connection)
    _name_months(context, done, asked_for)
    return dg.MaterializeResult(
        metadata={
            **_snapshot_metadata(done.snapshot),
            "counted": done.kind,
            "months": done.months,
            "months counted": len(done.counted),
            "disagreements": done.disagreements,
            "why": table(
                ["month", "reason", "segments", "bytes", "rows that differed"],
                (
                    (
                        str(counted.month),
                        done.reasons.get(counted.month, "full recomputation"),
                        counted.segments,
                        counted.bytes,
                        counted.differing,
                    )
                    for counted in done.counted[-SHOWN_MONTHS:]
                ),
            ),
            **report,
        }
    )


def _media(connection: Connection, settings: Settings) -> MediaVersion:
    return ESTIMATES if settings.media_inventory is None else media_version(connection)


def _name_months(
    context: dg.AssetExecutionContext, done: Recomputation, asked_for: frozenset[str]
) -> None:
    """Give each month that was counted its own figures, also those outside the run's range."""
    known = set(monthly.get_partition_keys(current_time=utc_now()))
    for counted in done.counted:
        figures: dict[str, int | str] = {
            "dagster/partition_row_count": counted.segments,
            "bytes of the month": human_bytes(counted.bytes),
        }
        if counted.month.key in asked_for:
            context.add_asset_metadata(figures, partition_key=counted.month.key)
        elif counted.month.key in known:
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=context.asset_key, partition=counted.month.key, metadata=figures
                )
            )


def _report(connection: Connection) -> RawMetadataMapping:
    months = months_frame(connection)
    error = estimate_error(months)
    picture = base64.b64encode(growth_picture(months)).decode()
    return {
        "growth": dg.MetadataValue.md(f"![growth by month](data:image/png;base64,{picture})"),
        "by kind": table(["kind", "bytes", "percent"], kinds_frame(months).itertuples(index=False)),
        "bytes": human_bytes(int(months["bytes"].sum())),
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
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with as_failure(), database.connect("storage") as connection:
        published = publish_families(
            connection,
            batch_rows=settings.storage_batch_rows,
            lock_wait_ms=settings.storage_lock_wait_ms,
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
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with as_failure(), database.connect("storage") as connection:
        published = publish_users(
            connection,
            batch_rows=settings.storage_batch_rows,
            lock_wait_ms=settings.storage_lock_wait_ms,
            log=context.log.info,
        )
    return dg.MaterializeResult(metadata=_published_metadata(published))


def _snapshot_metadata(snapshot: Snapshot) -> RawMetadataMapping:
    return {
        "snapshot": snapshot.name,
        "snapshot taken at": dg.MetadataValue.timestamp(snapshot.taken_at),
        "snapshot LSN": snapshot.lsn,
    }


def _published_metadata(published: Published) -> RawMetadataMapping:
    return {
        **_snapshot_metadata(published.snapshot),
        "rows written": published.written,
        "rounds": published.rounds,
    }


def _limits_table(families: Iterable[FamilyLimit]) -> dg.MetadataValue:
    return table(
        ["family", "name", "tier", "bytes", "limit in bytes", "percent"],
        (
            (str(f.id), f.name, f.subscription_tier, f.bytes, f.limit_bytes, f.percent)
            for f in families
        ),
    )


@dg.asset_check(
    asset=monthly_storage,
    description=(
        "The last full recomputation found every month that the signals called unchanged equal "
        "to the byte, and it is not overdue."
    ),
)
def full_agrees_with_incremental(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    days = settings.storage_full_days
    with as_failure(), database.connect("storage") as connection:
        full = latest_full(connection)
        first = first_recomputation(connection)
    if full is None:
        is_due = first is not None and utc_now() - first > timedelta(days=days)
        return dg.AssetCheckResult(
            passed=not is_due,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                "no month has been verified yet: run recompute_storage with full"
                if is_due
                else f"no month has been verified yet: the first time is within {days} days"
            ),
        )
    overdue = stale_since(full.taken_at, utc_now(), timedelta(days=days)) is not None
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
def families_within_limits(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    percent = settings.storage_warn_percent
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
