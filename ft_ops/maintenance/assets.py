"""Assets and checks of tables: vacuums, freezes and the ages of transaction ids."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg
from pydantic import Field

from ft_ops.clock import utc_now
from ft_ops.format import human_bytes
from ft_ops.maintenance.tables.freeze import closed_partitions, freeze_closed_partitions
from ft_ops.maintenance.tables.need import MaintenancePlan, plan_tables, table_states
from ft_ops.maintenance.tables.vacuum import (
    TableOutcome,
    planned,
    refuse_denied,
    refuse_failed,
    vacuum_tables,
)
from ft_ops.maintenance.tables.wraparound import Age, wraparound
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.outcomes import Outcome, materialized_unless
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring
from ft_ops.settings import Settings


class VacuumConfig(dg.Config):
    """Launch config of `vacuumed_tables`."""

    dry_run: bool = Field(
        default=False, description="Only look: show what each table needs, and why."
    )
    tables: list[str] = Field(
        default=[],
        description="Vacuum and analyse these tables, whatever their counters say, and no others. "
        "Those of public by their name, others as schema.table.",
    )


class FreezeConfig(dg.Config):
    """Launch config of `frozen_partitions`."""

    dry_run: bool = Field(
        default=False, description="Only look: show which partitions are due, and which wait."
    )
    partitions: list[str] = Field(
        default=[],
        description="Freeze these partitions of past months at once, and no others.",
    )
    still_hours: float = Field(
        default=24.0,
        ge=0,
        description="Hours in which a closed month must not have changed before it is frozen. "
        "With 0, every closed month is frozen at once.",
    )


@dg.asset(
    deps=["schema"],
    group_name="maintenance",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Tables whose dead, new or changed rows ask for it, vacuumed and analysed; the main tables "
        "and the current and previous month after any change; partitioned parents always. What "
        "came of each table is read from the server's own messages and counters. Takes no lock "
        "that reads or writes wait for, and never waits for one."
    ),
)
def vacuumed_tables(
    context: dg.AssetExecutionContext,
    config: VacuumConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Outcome]:
    now = utc_now()
    deadline = time.monotonic() + 60 * settings.maintenance_window_minutes
    with as_failure(), database.connect("vacuum") as connection:
        require_monitoring(connection)
        if config.dry_run:
            plans = plan_tables(table_states(connection), config.tables, now)
            show_dry_run(context, outcome_metadata(planned(plans)))
            return
        outcomes = vacuum_tables(
            connection, config.tables, now=now, deadline=deadline, log=context.log.info
        )
        yield from _materialized(context, outcomes)


@dg.asset(
    deps=["schema"],
    group_name="maintenance",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Partitions of months that are over, frozen once they stand still: all of their pages are "
        "all-visible, and no anti-wraparound vacuum has to read them again. A partition that is "
        "done costs nothing."
    ),
)
def frozen_partitions(
    context: dg.AssetExecutionContext,
    config: FreezeConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Outcome]:
    now = utc_now()
    still_for = timedelta(hours=config.still_hours)
    deadline = time.monotonic() + 60 * settings.maintenance_window_minutes
    with as_failure(), database.connect("freeze") as connection:
        require_monitoring(connection)
        if config.dry_run:
            closed = closed_partitions(connection, config.partitions, now=now, still_for=still_for)
            plans = [
                MaintenancePlan(
                    c.table, True, True, True, () if c.is_done else (c.waits_for or "due",)
                )
                for c in closed
            ]
            show_dry_run(context, outcome_metadata(planned(plans)))
            return
        outcomes = freeze_closed_partitions(
            connection,
            config.partitions,
            now=now,
            still_for=still_for,
            deadline=deadline,
            log=context.log.info,
        )
        yield from _materialized(context, outcomes)


@dg.asset_check(
    asset=vacuumed_tables,
    name="wraparound",
    description=(
        "The oldest transaction and multixact ids, as shares of the age at which autovacuum "
        "freezes by force. A table of the application or the operations: warns from 75 %, fails "
        "above 100 %. The server's own tables and whole databases, which live at up to 100 %: "
        "warns from 110 %, fails above 150 %."
    ),
)
def wraparound_check(database: DatabaseResource) -> dg.AssetCheckResult:
    with as_failure(), database.connect("wraparound") as connection:
        require_monitoring(connection)
        found = wraparound(connection)
    problems = found.problems()
    return dg.AssetCheckResult(
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR
        if found.level == "fail"
        else dg.AssetCheckSeverity.WARN,
        description="; ".join(problems)
        or f"the oldest is at {found.share:.1%} of the age that forces a freeze",
        metadata={
            "databases": _ages(found.databases),
            "oldest tables": _ages(found.tables),
            "holders of the xmin horizon": dg.MetadataValue.json(list(map(str, found.holders))),
        },
    )


def _materialized(
    context: dg.AssetExecutionContext, outcomes: Sequence[TableOutcome]
) -> Iterator[Outcome]:
    return materialized_unless(
        context,
        outcome_metadata(outcomes),
        lambda: refuse_denied(outcomes),
        lambda: refuse_failed(outcomes),
    )


def outcome_metadata(
    outcomes: Sequence[TableOutcome],
) -> dict[str, dg.MetadataValue | int | str]:
    counts = Counter(outcome.result for outcome in outcomes)
    return {
        **dict(sorted(counts.items())),
        "bytes of WAL": human_bytes(sum(o.figures.wal_bytes or 0 for o in outcomes)),
        "dead rows removed": sum(o.figures.dead_removed or 0 for o in outcomes),
        "tables": table(
            [
                "table", "result", "action", "why", "detail", "pages", "pages scanned",
                "pages frozen", "dead rows removed", "dead rows kept", "kept for", "bytes of WAL",
                "seconds",
            ],
            (
                (
                    o.table.qualified_name,
                    o.result,
                    o.action,
                    "; ".join(o.reasons),
                    o.detail,
                    o.figures.pages,
                    o.figures.pages_scanned,
                    o.figures.pages_frozen,
                    o.figures.dead_removed,
                    o.figures.dead_kept,
                    o.held_back_by,
                    o.figures.wal_bytes,
                    o.seconds,
                )
                for o in outcomes
            ),
        ),
    }  # fmt: skip


def _ages(ages: Sequence[Age]) -> dg.MetadataValue:
    return table(
        ["name", "transaction ids", "share", "multixact ids", "share of multixacts"],
        (
            (
                age.name,
                age.transaction_age,
                round(age.transaction_share, 4),
                age.multixact_age,
                round(age.multixact_share, 4),
            )
            for age in ages
        ),
    )
