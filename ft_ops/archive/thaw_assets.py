"""Assets of the way back: a thaw, and its end."""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg
from pydantic import Field

from ft_ops.archive.cancellation import cancel
from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.month.content import archived_name
from ft_ops.archive.month.states import TO_LOAD
from ft_ops.archive.month.thaws import Thaw, open_thaw
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.archive.resources import DryRunOn, gates_table, month_at_work
from ft_ops.archive.thaw.refreeze import plan_refreeze, refreeze
from ft_ops.archive.thaw.thaw import ThawRequest, begin, is_readable, load, plan_thaw
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.orchestration.dry_run import RefusalsShown, show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.launch import at_least, uuid_of
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource
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
    cancel: bool = Field(
        default=False,
        description="End the thaw or erasure of this month that is under way, from any state.",
    )

    def request(self, month: Month, settings: Settings) -> ThawRequest:
        """The request, validated."""
        family_id = uuid_of("family_id", self.family_id)
        days = at_least("days", self.days, 0) or settings.thaw_days
        return ThawRequest(month, family_id, tier_of(self.tier, month), days)


def tier_of(name: str, month: Month) -> Tier:
    """Glacier's tier of that name; Refused when there is none."""
    if name not in {"Bulk", "Standard", "Expedited"}:
        raise Refused(
            f"thaw of {month}",
            cause=f"there is no tier {name!r}",
            next_step="choose Bulk, Standard or Expedited",
        )
    tier: Tier = name  # type: ignore[assignment]
    return tier


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
        month_at_work(context, database, settings, month) as run,
        RefusalsShown(context, dry_run=config.dry_run),
    ):
        if config.cancel:
            context.log.info(cancel(run, month))
            return
        request = config.request(month, settings)
        prices = load_prices(settings.archive_prices_file)
        if config.dry_run:
            _, estimate = plan_thaw(run.connection, request, prices)
            show_dry_run(context, {"estimate": dg.MetadataValue.json(asdict(estimate))})
            return
        thaw = begin(run, request, prices, purpose="thaw")
        context.log.info("estimate: %s", dict(thaw.estimate))
        if thaw.state in TO_LOAD and not is_readable(run.connection, run.target, thaw):
            context.log.info("Glacier was asked; the sensor thaws_in_progress goes on from here")
            return
        thaw = load(run, thaw)
    if config.dry_run:
        return
    metadata = _thaw_metadata(thaw)
    if run.read_elsewhere:
        metadata["read from the second copy"] = dg.MetadataValue.json(run.read_elsewhere)
    yield dg.MaterializeResult(metadata=metadata)


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
        month_at_work(context, database, settings, month) as run,
        RefusalsShown(context, dry_run=config.dry_run),
    ):
        thaw = open_thaw(run.connection, month)
        if thaw is None:
            raise Refused(
                f"refreeze of {month}",
                cause="it is not thawed",
                next_step="see the open thaws: SELECT * FROM ops.thaw_status",
            )
        if config.dry_run:
            show_dry_run(context, {"gates": gates_table(plan_refreeze(run, thaw))})
            return
        done = refreeze(run, thaw, throttle_of(run))
        metadata: dict[str, int | str] = {
            "segments removed": done.segments,
            "next": done.next.name if done.next else "none: nothing had changed",
        }
        if done.stopped:
            context.log_event(
                dg.AssetObservation(
                    asset_key=context.asset_key, partition=context.partition_key, metadata=metadata
                )
            )
            raise Refused(
                f"refreeze of {month}",
                cause=done.stopped,
                next_step="what is left of the month is in archived_content_segments again; run "
                "it again once every gate is open",
            )
    if config.dry_run:
        return
    yield dg.MaterializeResult(metadata=metadata)


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
