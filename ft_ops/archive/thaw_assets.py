"""Assets and jobs of the way back: thaw, refreeze, and erasure inside archives."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import dagster as dg
from pydantic import Field

from ft_ops.archive.erase.erase import erase_month, remove_superseded
from ft_ops.archive.erase.plan import ErasurePlan, plan_erasures
from ft_ops.archive.month.content import archived_name
from ft_ops.archive.resources import (
    DryRunOn,
    archive_target,
    gates_table,
    month_at_work,
    object_lock,
    one_of_several,
    purge_rules,
    throttle,
)
from ft_ops.archive.thaw.ledger import Thaw, open_thaw
from ft_ops.archive.thaw.refreeze import plan_refreeze, refreeze
from ft_ops.archive.thaw.retrieval_cost import estimate_thaw, load_prices
from ft_ops.archive.thaw.thaw import ThawRequest, begin, is_readable, load, plan_thaw
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Failed, SomeFailed, Worked, each
from ft_ops.months import Month
from ft_ops.orchestration.dry_run import RefusalsShown, show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.launch import at_least, uuid_of
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.s3.glacier import Tier
from ft_ops.settings import Settings


class ThawConfig(dg.Config):
    """Launch config of a thaw."""

    family_id: str = Field(
        default="", description="Bring back one family of the month only: its id. Empty: all."
    )
    tier: str = Field(
        default="Bulk",
        description="How fast Glacier answers: Bulk, Standard, or Expedited (not from "
        "DEEP_ARCHIVE). The estimate in the metadata says how long and what it costs.",
    )
    days: int = Field(
        default=0, description="Days until the month is frozen again; 0 means FT_THAW_DAYS."
    )
    dry_run: bool = Field(default=False, description="Only estimate time and cost.")

    def request(self, month: Month, settings: Settings) -> ThawRequest:
        """The request, validated."""
        if self.tier not in {"Bulk", "Standard", "Expedited"}:
            raise Refused(
                f"thaw of {month}",
                cause=f"there is no tier {self.tier!r}",
                next_step="choose Bulk, Standard or Expedited",
            )
        tier: Tier = self.tier  # type: ignore[assignment]
        family_id = uuid_of("family_id", self.family_id)
        days = at_least("days", self.days, 0) or settings.thaw_days
        return ThawRequest(month, family_id, tier, days)


class EraseConfig(dg.Config):
    """Launch config of the erasure job."""

    dry_run: bool = Field(
        default=True, description="Only show which months hold erased content, and the cost."
    )
    tier: str = Field(default="Bulk", description="Glacier's tier: Bulk, Standard or Expedited.")


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=["content_archive"],
    group_name="archive",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "A purged month, back in the database under `archived_content_segments` for a time. The "
        "first run asks Glacier and ends; the sensor `thaws_in_progress` starts the next one when "
        "the objects can be read. What was erased since the purge stays erased, and is counted."
    ),
)
def thawed_content_segments(
    context: dg.AssetExecutionContext,
    config: ThawConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    month = Month.parse(context.partition_key)
    with (
        month_at_work(database, month) as connection,
        RefusalsShown(context, dry_run=config.dry_run),
    ):
        request = config.request(month, settings)
        prices = load_prices(settings.archive_prices_file)
        if config.dry_run:
            _, estimate = plan_thaw(connection, request, prices)
            show_dry_run(context, {"estimate": dg.MetadataValue.json(asdict(estimate))})
            return
        bucket = archive_target(settings).bucket
        thaw = begin(connection, bucket, request, prices, purpose="thaw", run_id=context.run.run_id)
        context.log.info("estimate: %s", dict(thaw.estimate))
        if thaw.state == "restoring" and not is_readable(connection, bucket, thaw):
            context.log.info("Glacier was asked; the sensor thaws_in_progress goes on from here")
            return
        thaw = load(connection, settings.require_database_url(), bucket, thaw, log=context.log.info)
    if config.dry_run:
        return
    yield dg.MaterializeResult(metadata=_thaw_metadata(thaw))


@dg.asset(
    partitions_def=monthly,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    deps=[thawed_content_segments],
    group_name="archive",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "A thawed month, taken out of the database again. Unchanged, its archive is still its "
        "proof; changed, it becomes the month's next generation."
    ),
)
def refrozen_content_segments(
    context: dg.AssetExecutionContext,
    config: DryRunOn,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    month = Month.parse(context.partition_key)
    with (
        month_at_work(database, month) as connection,
        RefusalsShown(context, dry_run=config.dry_run),
    ):
        thaw = open_thaw(connection, month)
        if thaw is None:
            raise Refused(
                f"refreeze of {month}",
                cause="it is not thawed",
                next_step="see the open thaws: SELECT * FROM ops.thaws",
            )
        bucket = archive_target(settings).bucket
        if config.dry_run:
            gates = plan_refreeze(connection, bucket, thaw, purge_rules(settings), utc_now())
            show_dry_run(context, {"gates": gates_table(gates)})
            return
        done = refreeze(
            connection,
            bucket,
            thaw,
            purge_rules(settings),
            throttle(connection, settings, context.log.info),
            run_id=context.run.run_id,
            log=context.log.info,
        )
    if config.dry_run:
        return
    yield dg.MaterializeResult(
        metadata={
            "segments removed": done.segments,
            "next": done.next.name if done.next else "none: nothing had changed",
        }
    )


@dg.asset(
    deps=["content_archive"],
    group_name="archive",
    kinds={"s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Archives without what was erased from the database: months that hold content of deleted "
        "users, families or threads are asked back, rewritten as their next generation, proven, "
        "and their old versions removed, unless a legal hold forbids it."
    ),
)
def erased_archive_content(
    context: dg.AssetExecutionContext,
    config: EraseConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    with as_failure(), database.connect("erasure") as connection:
        plans = plan_erasures(connection, archive_target(settings).bucket)
        shown = {
            "months": table(
                ["month", "erased segments", "bytes", "dollars", "longest hours", "held by"],
                [_plan_row(plan, config, settings) for plan in plans],
            )
        }
    if config.dry_run:
        show_dry_run(context, shown)
        with as_failure():
            _erased(plans, ()).refuse_failures("erasure inside archives")
        return
    failed = list(_collect(context, database, settings))
    worked = each(
        [plan for plan in plans if plan.problem is None and not plan.holds],
        lambda plan: _erase(context, config, database, settings, plan),
        name=lambda plan: f"erasure of {plan.month}",
        log=context.log.error,
    )
    # Once more: the generations that were just replaced.
    failed += [f for f in _collect(context, database, settings) if f not in failed]
    metadata = {**shown, "outcomes": dg.MetadataValue.json(dict(worked.done))}
    whole = _erased(plans, (*failed, *worked.failed))
    if whole.failed:
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))
        with as_failure():
            whole.refuse_failures("erasure inside archives")
    yield dg.MaterializeResult(metadata=metadata)


def _erased(plans: Sequence[ErasurePlan], failed: Sequence[Failed]) -> Worked[str]:
    """What failed of an erasure, with the months of which it can't be told what they hold."""
    return Worked((), (*(plan.problem for plan in plans if plan.problem is not None), *failed))


def _collect(
    context: dg.AssetExecutionContext, database: DatabaseResource, settings: Settings
) -> tuple[Failed, ...]:
    """Remove the objects of replaced generations; those that could not be removed."""
    with as_failure(), database.connect("erasure") as connection:
        try:
            removed = remove_superseded(
                connection, archive_target(settings).bucket, log=context.log.info
            )
        except SomeFailed as error:
            return error.failed
    context.log.info("%s versions of replaced generations removed", removed)
    return ()


def _erase(
    context: dg.AssetExecutionContext,
    config: EraseConfig,
    database: DatabaseResource,
    settings: Settings,
    plan: ErasurePlan,
) -> str:
    request = ThawConfig(tier=config.tier, days=1).request(plan.month, settings)
    target = archive_target(settings)
    with one_of_several(database, plan.month) as connection:
        thaw = begin(
            connection,
            target.bucket,
            request,
            load_prices(settings.archive_prices_file),
            purpose="erasure",
            run_id=context.run.run_id,
        )
        if not is_readable(connection, target.bucket, thaw):
            return "asked Glacier; the sensor thaws_in_progress goes on from here"
        done = erase_month(
            connection,
            settings.require_database_url(),
            target,
            thaw,
            storage_class=settings.archive_storage_class,
            lock=object_lock(settings),
            run_id=context.run.run_id,
            log=context.log.info,
        )
        return f"{done.generation.name} replaces it, without {dict(done.erased)}"


def _plan_row(
    plan: ErasurePlan, config: EraseConfig, settings: Settings
) -> tuple[str, int, int, float, float, str]:
    request = ThawConfig(tier=config.tier, days=1).request(plan.month, settings)
    estimate = estimate_thaw(
        list(plan.generations), request.tier, 1, load_prices(settings.archive_prices_file)
    )
    return (
        str(plan.month),
        plan.segments,
        estimate.bytes,
        estimate.dollars,
        estimate.longest_hours,
        str(plan.problem) if plan.problem else "; ".join(plan.holds),
    )


def _thaw_metadata(thaw: Thaw) -> dict[str, dg.MetadataValue | str]:
    if thaw.expires_at is None:
        raise OpsError(thaw.name, cause="it did not end", next_step="run it again")
    return {
        "table": archived_name(thaw.month),
        "generations": dg.MetadataValue.json(list(thaw.generations)),
        "left out": dg.MetadataValue.json(dict(thaw.left_out or {})),
        "estimate": dg.MetadataValue.json(dict(thaw.estimate)),
        "until": dg.MetadataValue.timestamp(thaw.expires_at),
    }
