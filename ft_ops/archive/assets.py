"""Assets and jobs of a month's way into the archive and out of the database."""

from collections.abc import Iterator, Mapping

import dagster as dg

from ft_ops.archive.cost.keeping import cost_of_keeping
from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.month.content import ARCHIVED, HOT, archived_name, hot_name
from ft_ops.archive.month.digest import total
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import in_database, latest, supersede
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.month.states import UNFINISHED
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.move.move import move_month
from ft_ops.archive.move.preflight import LOCKS, Preflight, preflight
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge.purge import PurgePlan, plan_purge, purge_month
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.archive.resources import DryRunOff, DryRunOn, gates_table, month_at_work, paced
from ft_ops.archive.store.layout import manifest_key
from ft_ops.errors import Refused
from ft_ops.format import human_bytes
from ft_ops.months import Month
from ft_ops.orchestration.dry_run import RefusalsShown, show_dry_run, skipped_in_backfill
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource
from ft_ops.pg.catalog import partition_sizes, partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=["content_segments_partitions"],
    group_name="archive",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "A month past its retention, moved out of `content_segments` by DETACH CONCURRENTLY and "
        "ATTACH. No row is copied, and the application does not wait. Finishes a detach that a "
        "dead run left pending."
    ),
)
def archived_content_segments(
    context: dg.AssetExecutionContext,
    config: DryRunOff,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    month = Month.parse(context.partition_key)
    with month_at_work(context, database, settings, month) as run:
        seen = preflight(
            run.connection,
            month,
            retention_years=settings.retention_years,
            longest_snapshot_seconds=settings.longest_snapshot_seconds,
            now=run.clock(),
        )
        if config.dry_run:
            show_dry_run(context, _preflight_metadata(seen))
            # The next step is skipped in this run, because this one yields nothing.
            _show_export(context, seen, _current(run.connection, month), settings)
            return
        if not seen.is_due and skipped_in_backfill(context, seen.fatal[0]):
            return
        if seen.fatal:
            raise Refused(
                f"archive of {month}",
                cause="; ".join(seen.fatal),
                next_step="see the preflight in this run's metadata by a dry run",
            )
        move = move_month(run, month)
    yield dg.MaterializeResult(
        metadata={
            **_preflight_metadata(seen),
            "table": archived_name(month),
            "generation": move.generation.number,
            "state": move.generation.state,
            "moved now": move.moved,
            "rows of erased threads removed": move.erased.rows,
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
    output_required=False,
    description=(
        "The month's segments with their narrations, tags and links as Parquet in S3: exported in "
        "one snapshot, read back and proven row by row, then moved to Glacier. Goes on where an "
        "earlier run stopped; does nothing for a month that is done."
    ),
)
def content_archive(
    context: dg.AssetExecutionContext,
    config: DryRunOff,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    month = Month.parse(context.partition_key)
    with month_at_work(context, database, settings, month) as run:
        generation = _current(run.connection, month)
        if config.dry_run:
            show_dry_run(context, _export_plan(run.connection, month, generation, settings))
            return
        if generation is None:
            raise Refused(
                f"archive of {month}",
                cause="the month was never moved to archived_content_segments",
                next_step="materialize archived_content_segments for it first",
            )
        thaw = open_thaw(run.connection, month)
        if thaw is not None and generation.is_in_database and generation.state in UNFINISHED:
            raise Refused(
                f"archive of {month}",
                cause=f"{thaw.name} is under way, {thaw.state}",
                next_step="wait until it has ended, or end it: ft-ops archive cancel --month "
                + str(month),
            )
        if generation.is_in_database and thaw is None:
            with paced(run, database) as beside:
                generation = archive_content(beside, generation)
    yield dg.MaterializeResult(metadata=_generation_metadata(generation, settings))


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=[content_archive],
    group_name="archive",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "The month's rows, removed from the database once every gate is open: proof, grace, "
        "legal holds, a verified backup younger than the proof, and the digest of every row taken "
        "again in the snapshot in which it is deleted."
    ),
)
def purged_content_segments(
    context: dg.AssetExecutionContext,
    config: DryRunOn,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    month = Month.parse(context.partition_key)
    with (
        month_at_work(context, database, settings, month) as run,
        RefusalsShown(context, dry_run=config.dry_run),
    ):
        generation = _current(run.connection, month)
        if generation is None:
            raise Refused(
                f"purge of {month}",
                cause="nothing of it was archived",
                next_step="materialize archived_content_segments and content_archive first",
            )
        if not generation.is_in_database:
            if config.dry_run:
                show_dry_run(context, {"decision": "done before"})
            else:
                yield dg.MaterializeResult(metadata={"decision": "done before"})
            return
        plan = plan_purge(run, generation, compare=config.dry_run)
        metadata = _plan_metadata(plan)
        if config.dry_run:
            show_dry_run(context, metadata)
            return
        if plan.decision == "export again":
            why = "; ".join(plan.changed)
            following = supersede(run.connection, generation, why, run.run_id)
            context.log.warning("%s: %s is exported next", why, following.name)
            yield dg.MaterializeResult(metadata={"next": following.name, **metadata})
            return
        purge = purge_month(run, plan, throttle_of(run))
        done = {
            **metadata,
            "segments removed": purge.segments,
            "segments that changed and stay": purge.kept,
            **({"next": purge.next.name} if purge.next else {}),
        }
        if purge.stopped:
            context.log_event(
                dg.AssetObservation(
                    asset_key=context.asset_key, partition=context.partition_key, metadata=done
                )
            )
            raise Refused(
                f"purge of {purge.generation.name}",
                cause=purge.stopped,
                next_step="what is left of the month is in archived_content_segments again; run "
                "it again once every gate is open",
            )
    if config.dry_run:
        return
    yield dg.MaterializeResult(metadata=done)


def _current(connection: Connection, month: Month) -> Generation | None:
    """The generation in the database; else the newest one, None when there is none."""
    return in_database(connection, month) or latest(connection, month)


def _show_export(
    context: dg.AssetExecutionContext,
    seen: Preflight,
    generation: Generation | None,
    settings: Settings,
) -> None:
    """Show on the next asset's page what its step would do once this one has moved the month."""
    context.log_event(
        dg.AssetObservation(
            asset_key="content_archive",
            partition=context.partition_key,
            metadata={
                "dry run": True,
                **_export_metadata(
                    seen.month, generation, seen.estimated_rows, seen.bytes, settings
                ),
            },
        )
    )


def _export_plan(
    connection: Connection, month: Month, generation: Generation | None, settings: Settings
) -> Mapping[str, dg.MetadataValue | int | str]:
    """What `content_archive` would do with a month as it is now, moved or not."""
    name = hot_name(month) if generation is None else archived_name(month)
    parent = HOT if generation is None else ARCHIVED
    found = attached_relation(connection, parent, month)
    name = found.name if found is not None else name
    rows = {p.name: p.estimated_rows for p in partitions_of(connection, parent)}
    size = partition_sizes(connection, parent)
    return _export_metadata(month, generation, rows.get(name, 0), size.get(name, 0), settings)


def _export_metadata(
    month: Month, generation: Generation | None, rows: int, size: int, settings: Settings
) -> Mapping[str, dg.MetadataValue | int | str]:
    if generation is not None and not (
        generation.is_in_database and generation.state in UNFINISHED
    ):
        return {"would do": "nothing", **_generation_metadata(generation, settings)}
    number = 1 if generation is None else generation.number
    manifest = manifest_key(settings.archive_prefix, month, number)
    state = "not moved yet" if generation is None else generation.state
    return {
        "state": state,
        "would do": "export the month, read it back and prove it, then move it to "
        f"{settings.archive_storage_class}",
        "estimated rows": dg.MetadataValue.int(rows),
        "bytes in the database": human_bytes(size),
        "manifest": dg.MetadataValue.url(f"s3://{settings.require_archive_bucket()}/{manifest}"),
    }


def _preflight_metadata(seen: Preflight) -> dict[str, dg.MetadataValue]:
    return {
        "due on": dg.MetadataValue.timestamp(seen.due_on),
        "estimated rows": dg.MetadataValue.int(seen.estimated_rows),
        "bytes in the database": dg.MetadataValue.text(human_bytes(seen.bytes)),
        "locks": dg.MetadataValue.json(list(LOCKS)),
        "in the way": table(
            ["what", "detail", "stops it"], ((b.kind, b.detail, b.fatal) for b in seen.blockers)
        ),
    }


def _generation_metadata(
    generation: Generation, settings: Settings
) -> dict[str, dg.MetadataValue | int | str]:
    bucket = settings.require_archive_bucket()
    rows = generation.rows
    digests = generation.digests or {}
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "generation": generation.number,
        "state": generation.state,
        "dagster/partition_row_count": rows.get("content_segments", 0),
        "bytes in the bucket": human_bytes(generation.bytes),
        "cost": str(
            cost_of_keeping(
                (item.stored for item in generation.objects),
                load_prices(settings.archive_prices_file),
            )
            or "unknown: the price list has no `storage` for its classes"
        ),
        "rows": table(
            ["table", "rows", "digest"],
            ((name, rows.get(name, 0), str(total(digests[name]))) for name in digests),
        ),
        "objects": table(
            ["object", "rows", "bytes", "class", "version", "sha256"],
            (
                (
                    f"s3://{bucket}/{o.stored.key}",
                    o.rows,
                    o.stored.bytes,
                    o.stored.storage_class,
                    o.stored.version_id,
                    o.stored.sha256,
                )
                for o in generation.objects
            ),
        ),
        "certificate": dg.MetadataValue.json(dict(generation.certificate or {})),
    }
    if generation.manifest is not None:
        metadata["manifest"] = dg.MetadataValue.url(f"s3://{bucket}/{generation.manifest.key}")
    return metadata


def _plan_metadata(plan: PurgePlan) -> dict[str, dg.MetadataValue | str]:
    return {
        "decision": plan.decision,
        "gates": gates_table(plan.gates),
        "changed since the proof": dg.MetadataValue.json([*plan.changed, *plan.edited]),
    }
