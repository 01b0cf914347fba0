"""Assets, checks, job and schedules of the monthly partitions."""

from collections import Counter

import dagster as dg
from pydantic import Field

from ft_ops.clock import utc_now
from ft_ops.months import Month
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.partitions.create import PARENTS
from ft_ops.partitions.ensure import work_on_months
from ft_ops.partitions.month_coverage import Coverage, archived_months, coverage, wanted_months
from ft_ops.settings import Settings

ASSET_KEYS = {parent: dg.AssetKey(f"{parent}_partitions") for parent in PARENTS}


class PartitionsConfig(dg.Config):
    """Launch config of the monthly partition assets."""

    reopen_archived_months: bool = Field(
        default=False,
        description="Create the partition also for months that have moved to the archive, so "
        "that late rows find their place. They become the month's next generation.",
    )


def _partitions_asset(parent: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=ASSET_KEYS[parent],
        partitions_def=monthly,
        # One run creates any range of months: a run a month would cost more than the work.
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=["schema"],
        group_name="partitions",
        kinds={"postgres"},
        owners=OWNERS,
        pool=HEAVY_POOL,
        description=(
            f"One partition of `{parent}` for each month, with bounds in UTC. Created empty "
            "beside the parent and attached, so that no reader or writer waits for it."
        ),
    )
    def partitions(
        context: dg.AssetExecutionContext, config: PartitionsConfig, database: DatabaseResource
    ) -> dg.MaterializeResult[None]:
        months = [Month.parse(key) for key in context.partition_keys]
        with as_failure(), database.connect("partitions") as connection:
            if not config.reopen_archived_months:
                archived = archived_months(connection, parent)
                months = [month for month in months if month not in archived]
            worked = work_on_months(connection, parent, months, log=context.log.info)
            outcomes = worked.results
            if worked.failed:
                # The run fails, and each month that was done is known as done.
                for outcome in outcomes:
                    context.log_event(
                        dg.AssetMaterialization(
                            ASSET_KEYS[parent],
                            partition=outcome.month.key,
                            metadata={"table": outcome.name, "outcome": outcome.action},
                        )
                    )
            worked.refuse_failures(f"partitions of {parent}")
        actions = Counter[str](outcome.action for outcome in outcomes)
        actions["in the archive"] = len(context.partition_keys) - len(months)
        # Each month gets its own line: a table of all of them would be written once a month.
        for outcome in outcomes:
            context.add_asset_metadata(
                {"table": outcome.name, "outcome": outcome.action},
                partition_key=outcome.month.key,
            )
        return dg.MaterializeResult(metadata=dict(actions))

    return partitions


def _coverage_check(parent: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=ASSET_KEYS[parent],
        name=f"{parent}_coverage",
        description=(
            "Every month from FT_FIRST_MONTH to FT_PARTITION_LOOKAHEAD_MONTHS ahead has its "
            "partition in the catalog, whatever Dagster remembers of it. Fails on a gap, a "
            "pending detach, bounds that are no UTC month, a default partition, and a table that "
            "bears a month's name and stands alone; warns of months before FT_FIRST_MONTH."
        ),
    )
    def check(
        database: DatabaseResource, settings: dg.ResourceParam[Settings]
    ) -> dg.AssetCheckResult:
        with as_failure(), database.connect("coverage") as connection:
            wanted = wanted_months(
                connection,
                parent,
                first=settings.first_month,
                last=settings.last_month_ahead(utc_now()),
            )
            return _check_result(coverage(connection, parent, wanted))

    return check


def _check_result(found: Coverage) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR
    description = f"{found.first} to {found.last} without a gap"
    if found.older:
        severity = dg.AssetCheckSeverity.WARN
        description = (
            f"{len(found.older)} months before FT_FIRST_MONTH, from {found.older[0]}: set it "
            "to that month so that they are archived"
        )
    if not found.is_complete:
        severity = dg.AssetCheckSeverity.ERROR
        description = (
            f"{len(found.missing)} months missing, {len(found.findings)} tables not as they "
            f"should be: materialize {found.parent}_partitions, and see the findings"
        )
    return dg.AssetCheckResult(
        passed=found.is_complete and not found.older,
        severity=severity,
        description=description,
        metadata={
            "missing": [str(month) for month in found.missing],
            "findings": [str(finding) for finding in found.findings],
            "before FT_FIRST_MONTH": [str(month) for month in found.older],
            "first": str(found.first),
            "last": str(found.last),
        },
    )


assets = [_partitions_asset(parent) for parent in PARENTS]
checks = [_coverage_check(parent) for parent in PARENTS]
