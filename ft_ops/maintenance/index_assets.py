"""Assets of indexes: their estimated bloat, and their rebuilds."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import timedelta

import dagster as dg
from pydantic import Field

from ft_ops.backups import provided_storage
from ft_ops.format import human_bytes
from ft_ops.maintenance.gates import Gates, free_disk_of, free_disk_provided
from ft_ops.maintenance.index_checks import findings_table
from ft_ops.maintenance.indexes.advice import IndexAdvice, index_advice, scans_of_our_own
from ft_ops.maintenance.indexes.bloat import (
    Estimate,
    estimate_indexes,
    refuse_unreachable,
)
from ft_ops.maintenance.indexes.candidates import RebuildRules, is_bloated
from ft_ops.maintenance.indexes.picture import bloat_picture
from ft_ops.maintenance.indexes.rebuild import (
    RebuildOutcome,
    Terms,
    plan_rebuilds,
    rebuild_indexes,
    refuse_failed,
)
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.outcomes import Outcome, materialized_unless
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import server_time
from ft_ops.settings import Settings

MEGABYTE = 1 << 20


class BloatConfig(dg.Config):
    """Launch config of `index_bloat`."""

    dry_run: bool = Field(
        default=False, description="Estimate, and record nothing in ops.index_estimates."
    )


class RebuildConfig(dg.Config):
    """Launch config of `rebuilt_indexes`."""

    dry_run: bool = Field(
        default=False,
        description="Only look: show which indexes would be rebuilt, and what is in the way.",
    )
    indexes: list[str] = Field(
        default=[],
        description="Rebuild these indexes, however little bloated, and no others. Those of public "
        "by their name, others as schema.index. What would hurt the application still stops them.",
    )


@dg.asset(
    deps=["vacuumed_tables"],
    group_name="maintenance",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "How large every index would be after a rebuild: estimated from samples of its rows, "
        "without any extension, and kept in `ops.index_estimates` until a rebuild tells the truth. "
        "Also names indexes that nobody uses, that repeat another, or that are missing. Changes "
        "none of them."
    ),
)
def index_bloat(
    context: dg.AssetExecutionContext,
    config: BloatConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Outcome]:
    with as_failure(), database.connect("index bloat", statement_timeout="60s") as connection:
        require_monitoring(connection)
        now = server_time(connection)
        with nullcontext() if config.dry_run else scans_of_our_own(connection, now=now):
            estimates = estimate_indexes(
                connection, chance=random.Random(), store=not config.dry_run, log=context.log.info
            )
        advice = index_advice(connection, now=now)
        shown = _bloat_metadata(estimates, advice, _rules(settings))
        if config.dry_run:
            show_dry_run(context, shown)
            return
        yield from materialized_unless(context, shown, lambda: refuse_unreachable(estimates))


# It estimates for itself: an index that `index_bloat` can't reach must not keep it from the others.
@dg.asset(
    deps=["vacuumed_tables"],
    group_name="maintenance",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "Bloated indexes, rebuilt by REINDEX INDEX CONCURRENTLY: those that free most a second "
        "first, one at a time, while the window, the disk, the replicas and the application allow "
        "it. What interrupted rebuilds left behind is finished or dropped first."
    ),
)
def rebuilt_indexes(
    context: dg.AssetExecutionContext,
    config: RebuildConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Outcome]:
    terms = _terms(settings, context.run.run_id)
    chance = random.Random()
    with (
        as_failure(),
        # A build in several processes would be over sooner, and be felt by everybody.
        database.connect("index rebuilds", max_parallel_maintenance_workers="0") as connection,
        database.connect("index rebuilds, watching", statement_timeout="5s") as beside,
    ):
        require_monitoring(connection)
        now = server_time(connection)
        if config.dry_run:
            plans = plan_rebuilds(connection, terms, config.indexes, now=now, chance=chance)
            show_dry_run(context, _rebuild_metadata(plans))
            return
        outcomes = rebuild_indexes(
            connection,
            beside,
            terms,
            config.indexes,
            now=now,
            chance=chance,
            log=context.log.info,
        )
        yield from materialized_unless(
            context,
            _rebuild_metadata(outcomes),
            lambda: refuse_unreachable(o.candidate.estimate for o in outcomes),
            lambda: refuse_failed(outcomes),
        )


def _rules(settings: Settings) -> RebuildRules:
    return RebuildRules(
        min_bytes=settings.reindex_min_mb * MEGABYTE,
        min_share=settings.reindex_min_percent / 100,
        min_reclaimable_bytes=settings.reindex_min_reclaim_mb * MEGABYTE,
        cooldown=timedelta(days=settings.reindex_cooldown_days),
    )


def rebuild_gates(settings: Settings) -> Gates:
    """What has to be true before something of this database is written anew."""
    volume_gb, others = settings.database_volume_gb, settings.other_volumes_bytes
    return Gates(
        longest_snapshot_seconds=settings.reindex_longest_snapshot_seconds,
        max_lag_bytes=settings.reindex_max_lag_mb * MEGABYTE,
        free_disk=free_disk_provided(lambda: provided_storage(settings), others)
        if volume_gb is None
        else free_disk_of(round(volume_gb * 1e9), others),
    )


def _terms(settings: Settings, run_id: str) -> Terms:
    return Terms(
        rules=_rules(settings),
        gates=rebuild_gates(settings),
        canary_limit_ms=settings.reindex_canary_limit_ms,
        deadline=time.monotonic() + 60 * settings.maintenance_window_minutes,
        run_id=run_id,
    )


def _bloat_metadata(
    estimates: Sequence[Estimate], advice: IndexAdvice, rules: RebuildRules
) -> dict[str, dg.MetadataValue | int | str]:
    return {
        "dagster/row_count": len(estimates),
        "bytes": human_bytes(sum(estimate.index.bytes for estimate in estimates)),
        "reclaimable bytes": human_bytes(sum(estimate.reclaimable_bytes for estimate in estimates)),
        "bloated": sum(is_bloated(estimate, rules) for estimate in estimates),
        "unknown": sum(estimate.method == "unknown" for estimate in estimates),
        "the largest": dg.MetadataValue.md(bloat_picture(estimates)),
        "indexes": _estimates(estimates, rules),
        "unused": findings_table(advice.unused),
        "duplicate": findings_table(advice.duplicate),
        "foreign keys without an index": findings_table(advice.unindexed_foreign_keys),
    }


def _estimates(estimates: Sequence[Estimate], rules: RebuildRules) -> dg.MetadataValue:
    return table(
        [
            "index", "table", "bytes", "rows", "bytes after a rebuild", "reclaimable %", "method",
            "certain", "bloated", "problem",
        ],
        (
            (
                e.index.qualified_name,
                e.index.table_name,
                e.index.bytes,
                e.rows,
                e.estimated_bytes,
                round(100 * e.reclaimable_share, 1),
                e.method,
                e.is_certain,
                is_bloated(e, rules),
                e.problem,
            )
            for e in estimates
            if e.index.bytes >= MEGABYTE or e.problem
        ),
    )  # fmt: skip


def _rebuild_metadata(
    outcomes: Sequence[RebuildOutcome],
) -> dict[str, dg.MetadataValue | int | str]:
    counts = Counter(outcome.result for outcome in outcomes)
    rebuilt = [outcome for outcome in outcomes if outcome.bytes_after is not None]
    return {
        **dict(sorted(counts.items())),
        "bytes freed": human_bytes(
            sum(o.candidate.index.bytes - (o.bytes_after or 0) for o in rebuilt)
        ),
        "indexes": table(
            [
                "index", "result", "detail", "bytes before", "bytes estimated", "bytes after",
                "predicted seconds", "seconds", "quiet canary ms", "worst canary ms",
            ],
            (
                (
                    o.candidate.index.qualified_name,
                    o.result,
                    o.detail,
                    o.candidate.index.bytes,
                    o.candidate.estimate.estimated_bytes,
                    o.bytes_after,
                    o.candidate.predicted_seconds,
                    o.measures.seconds,
                    _rounded(o.measures.quiet_canary_ms),
                    _rounded(o.measures.worst_canary_ms),
                )
                for o in outcomes
            ),
        ),
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
