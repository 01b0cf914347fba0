"""The asset of the audit log's months in the archive."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from ft_ops.archive.audit.months import audit_run, due_audit_months
from ft_ops.archive.audit.work import WorkedMonth, plans, work_on_audit_months
from ft_ops.archive.resources import gates_table, paced
from ft_ops.archive.run import archive_run
from ft_ops.archive.thaw_assets import tier_of
from ft_ops.clock import refuse_other_clock, utc_now
from ft_ops.items import Worked
from ft_ops.months import Month
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.launch import at_least
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import server_time
from ft_ops.settings import Settings


class AuditArchiveConfig(dg.Config):
    """Launch config of the audit log's archive."""

    dry_run: bool = Field(
        default=True,
        description="Only look: say which months are due, and evaluate every gate of a purge. The "
        "schedule turns this off; FT_PURGE_ENABLED must be true besides for anything to leave.",
    )
    bring_back: list[str] = Field(
        default=[],
        description="Months that are to come back into audit_log, such as 2017-03. The first run "
        "asks Glacier; the daily one loads them when they can be read.",
    )
    days: int = Field(default=0, description="Days that they stay; 0 means FT_THAW_DAYS.")
    tier: str = Field(default="Bulk", description="How fast Glacier answers: Bulk or Standard.")


@dg.asset(
    deps=["audit_log_partitions"],
    group_name="archive",
    kinds={"postgres", "parquet", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Months of the audit log past FT_AUDIT_RETENTION_YEARS, in Glacier by the steps of "
        "a month of segments: exported, read back and proven row by row, frozen; and dropped from "
        "audit_log once every gate is open and all their rows are still the proven ones. Brings "
        "months back that are asked for."
    ),
)
def archived_audit_log(
    context: dg.AssetExecutionContext,
    config: AuditArchiveConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    with as_failure(), database.connect("audit archive") as connection:
        wanted = [Month.parse(text) for text in config.bring_back]
        days = at_least("days", config.days, 0) or settings.thaw_days
        run = audit_run(
            archive_run(connection, settings, context.run.run_id, context.log.info),
            settings.audit_retention_years,
        )
        due = due_audit_months(connection, settings.audit_retention_years, run.clock())
        if config.dry_run:
            show_dry_run(
                context,
                {
                    "due": dg.MetadataValue.json([str(month) for month in due]),
                    "would bring back": dg.MetadataValue.json([str(month) for month in wanted]),
                    **{
                        f"purge of {month}: {plan.decision}": gates_table(plan.gates)
                        for month, plan in plans(run).items()
                    },
                },
            )
            return
        refuse_other_clock("work on the audit log", utc_now(), server_time(connection))
        tier = tier_of(config.tier, (wanted or [Month.of(run.clock())])[0])
        with paced(run, database) as beside:
            worked = work_on_audit_months(beside, wanted, days=days, tier=tier)
        if worked.failed:
            context.log_event(
                dg.AssetObservation(asset_key=context.asset_key, metadata=_metadata(worked))
            )
        worked.refuse_failures("audit log's months")
    yield dg.MaterializeResult(metadata=_metadata(worked))


def _metadata(worked: Worked[WorkedMonth]) -> dict[str, dg.MetadataValue]:
    rows = ((str(done.month), done.did, done.detail) for done in worked.results)
    return {"months": table(["month", "what was done", "detail"], rows)}
