"""The asset of the archive's drill."""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg
from pydantic import Field

from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.drill.conduct import HeldDrill, hold_drill, plan_drill
from ft_ops.archive.keep.drills import ship_drills
from ft_ops.archive.month.states import Ledger
from ft_ops.archive.run import archive_run
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


class ArchiveDrillConfig(dg.Config):
    """Launch config of the archive's drill."""

    dry_run: bool = Field(
        default=False, description="Only say which month it would take, and what that costs."
    )
    month: str = Field(
        default="", description="Drill this month, such as 2017-03. Empty: this month's choice."
    )
    audit_log: bool = Field(default=False, description="`month` is one of the audit log.")


@dg.asset(
    deps=["content_archive"],
    group_name="archive",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "One archived month, of segments or of the audit log, retrieved (Bulk), loaded into tables "
        "of its own beside the content, and proven by its digests: of one bucket in turn. The "
        "first run asks Glacier and ends, a later one reads. Nothing of the product's tables is "
        "touched."
    ),
)
def archive_drill(
    context: dg.AssetExecutionContext,
    config: ArchiveDrillConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    month = Month.parse(config.month) if config.month else None
    ledger: Ledger = "audit_archive" if config.audit_log else "archive"
    with as_failure(), database.connect("archive drill") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        prices = load_prices(settings.archive_prices_file)
        dollars = settings.archive_drill_dollars
        if config.dry_run:
            plan = plan_drill(run, prices, dollars=dollars, month=month, ledger=ledger)
            shown = {} if plan is None else {"month": plan.name, "copy": plan.copy}
            estimate = {} if plan is None else asdict(plan.estimate)
            show_dry_run(context, {**shown, "estimate": dg.MetadataValue.json(estimate)})
            return
        held = hold_drill(run, prices, dollars=dollars, month=month, ledger=ledger)
        ship_drills(connection, run.bucket, run.target.prefix)
    if held is None:
        context.log.info("no month is in the archive alone")
        return
    if held.state == "asked":
        context.log.info("Glacier was asked; the daily schedule goes on from here")
        return
    with as_failure():
        _refuse_unproven(held)
    yield dg.MaterializeResult(
        metadata={
            "month": held.drill.subject,
            "copy": held.drill.copy,
            "certificate": dg.MetadataValue.json(dict(held.certificate or {})),
            "estimate": dg.MetadataValue.json(dict(held.drill.estimate)),
        }
    )


def _refuse_unproven(held: HeldDrill) -> None:
    if held.state != "proven":
        raise OpsError(
            held.drill.name,
            cause=f"{held.state}: {held.error}",
            next_step="see the runbook on archive_is_proven",
        )
