"""The bloat of tables, as an asset and its check; and what their settings should be."""

import random
from collections.abc import Sequence

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.format import human_bytes
from ft_ops.maintenance.rewrite.advice import Advice, means_of, repack_advice
from ft_ops.maintenance.tables.activity import activity, forget_activity, note_activity
from ft_ops.maintenance.tables.correlation import correlation_advice
from ft_ops.maintenance.tables.settings_advice import settings_advice
from ft_ops.maintenance.tables.table_bloat import TableEstimate, estimate_tables
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import server_time

_SHOWN_BYTES = 1 << 20

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.


@dg.asset(
    deps=["vacuumed_tables"],
    group_name="maintenance",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    check_specs=[
        dg.AssetCheckSpec(
            "no_bloated_tables",
            asset="table_bloat",
            description="No table would lose 30 % and 100 MB if it were written anew.",
        )
    ],
    description=(
        "How large every table and what is stored beside its rows would be after it was written "
        "anew, estimated from samples of its rows, without any extension. Names those that are "
        "worth it, with the command, the disk and the time that it takes. Changes none of them."
    ),
)
def table_bloat(
    context: dg.AssetExecutionContext, database: DatabaseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with as_failure(), database.connect("table bloat", statement_timeout="60s") as connection:
        require_monitoring(connection)
        estimates = estimate_tables(connection, chance=random.Random(), log=context.log.info)
        advice = repack_advice(estimates, means_of(connection))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(estimates),
            "size": human_bytes(sum(estimate.table.bytes for estimate in estimates)),
            "reclaimable": human_bytes(sum(estimate.reclaimable_bytes for estimate in estimates)),
            "advice": [found.words for found in advice],
            "tables": _table(estimates),
        },
        check_results=[_check(advice, [e for e in estimates if e.problem])],
    )


@dg.asset_check(
    asset="table_bloat",
    name="settings_advice",
    description=(
        "Settings of tables that the last four weeks speak for: autovacuum's scale factor and cost "
        "limit by the rows that died, the fillfactor by updates that found no room, statistics of "
        "columns that are not independent. Takes note of each day's counters; sets nothing."
    ),
)
def settings_advice_check(
    context: dg.AssetCheckExecutionContext, database: DatabaseResource
) -> dg.AssetCheckResult:
    with as_failure(), database.connect("settings advice", statement_timeout="20s") as connection:
        require_monitoring(connection)
        now = server_time(connection)
        note_activity(connection, now)
        forget_activity(connection, utc_now())
        looked_at = activity(connection, now)
        correlated, worked = correlation_advice(connection, context.log.info)
    advice = [*settings_advice(looked_at), *correlated]
    told = [f"{found.table}: {found.setting}" for found in advice]
    told += [f"not looked at: {failed}" for failed in worked.failed]
    days = max((a.days for a in looked_at), default=0.0)
    return dg.AssetCheckResult(
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or f"nothing to change, by the last {days:.0f} days",
        metadata={
            "days looked back": round(days, 1),
            "advice": table(
                ["table", "setting", "evidence", "statement"],
                ((a.table, a.setting, a.evidence, a.statement) for a in advice),
            ),
        },
    )


def _check(advice: Sequence[Advice], unknown: Sequence[TableEstimate]) -> dg.AssetCheckResult:
    told = [found.words for found in advice]
    told += [f"{e.table.qualified_name} is not known: {e.problem}" for e in unknown]
    return dg.AssetCheckResult(
        check_name="no_bloated_tables",
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or "in order",
    )


def _table(estimates: Sequence[TableEstimate]) -> dg.MetadataValue:
    return table(
        [
            "table",
            "bytes",
            "of that, beside its rows",
            "anew",
            "reclaimable %",
            "certain",
            "problem",
        ],
        (
            (
                e.table.qualified_name,
                e.table.bytes,
                e.table.toast_bytes,
                e.estimated_bytes,
                round(100 * e.reclaimable_share, 1),
                e.is_certain,
                e.problem,
            )
            for e in estimates
            if e.table.bytes >= _SHOWN_BYTES or e.problem
        ),
    )
