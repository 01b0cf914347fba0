"""Bloated tables, written anew from the launchpad."""

import random
import time
from collections import Counter
from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from ft_ops.errors import OpsError
from ft_ops.maintenance.index_assets import rebuild_gates
from ft_ops.maintenance.rewrite.advice import Means, means_of
from ft_ops.maintenance.rewrite.pg_repack import Program, refuse_unusable
from ft_ops.maintenance.rewrite.rewrite import (
    RewriteOutcome,
    RewriteTerms,
    chosen_tables,
    plan_rewrites,
    refuse_failed_rewrites,
    rewrite_tables,
)
from ft_ops.maintenance.tables.table_bloat import estimate_tables
from ft_ops.orchestration.jobs import HEAVY_POOL, op_job
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings


class RepackConfig(dg.Config):
    """Launch config of `repack_tables`."""

    dry_run: bool = Field(
        default=False,
        description="Only look: show which tables would be written anew, and what is in the way.",
    )
    tables: list[str] = Field(
        default=[],
        description="Write these tables anew, and no others. Those of public by their name, others "
        "as schema.table. Empty: those that the metadata `advice` of table_bloat names.",
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="After so many minutes it ends. Empty: FT_MAINTENANCE_WINDOW_MINUTES.",
    )


# In the pool of heavy work: whoever reads a table in an old snapshot while it is put in place anew
# misses rows, and exports, proofs and dumps read so.
@dg.op(description="Writes bloated tables anew by pg_repack, one at a time.", pool=HEAVY_POOL)
def repacked_tables(
    context: dg.OpExecutionContext,
    config: RepackConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> None:
    minutes = config.minutes or settings.maintenance_window_minutes
    terms = RewriteTerms(
        gates=rebuild_gates(settings),
        canary_limit_ms=settings.reindex_canary_limit_ms,
        deadline=time.monotonic() + 60 * minutes,
    )
    folder = settings.pg_bin_dir
    program = Program(
        "pg_repack" if folder is None else str(folder / "pg_repack"),
        settings.require_database_url(),
    )
    with (
        as_failure(),
        database.connect("tables written anew") as connection,
        database.connect("tables written anew, watching", statement_timeout="5s") as beside,
    ):
        require_monitoring(connection)
        means = means_of(connection)
        estimates = estimate_tables(connection, chance=random.Random(), log=context.log.info)
        chosen = chosen_tables(estimates, means, config.tables)
        if config.dry_run:
            plans = plan_rewrites(connection, chosen, terms, 60 * minutes)
            shown = {"dry run": True, **_refusal(connection, program, means), **_metadata(plans)}
            context.add_output_metadata(shown)
            return
        outcomes = rewrite_tables(
            connection, beside, program, chosen, terms, means, log=context.log.info
        )
        context.add_output_metadata(_metadata(outcomes))
        refuse_failed_rewrites(outcomes)


@op_job(
    "Writes the tables that are worth it, or those that are named, anew by pg_repack, "
    "while the window, the disk, the replicas and the application allow it. Nothing runs it on a "
    "schedule: read its section first."
)
def repack_tables() -> None:
    repacked_tables()


def _refusal(connection: Connection, program: Program, means: Means) -> dict[str, str]:
    try:
        refuse_unusable(connection, program, means.pg_repack)
    except OpsError as error:
        return {"would be refused": error.cause, "next step": error.next_step}
    return {}


def _metadata(outcomes: Sequence[RewriteOutcome]) -> dict[str, dg.MetadataValue | int | str]:
    counts = Counter(outcome.result for outcome in outcomes)
    return {
        **dict(sorted(counts.items())),
        "tables": table(
            [
                "table", "result", "detail", "bytes before", "bytes estimated", "bytes after",
                "bytes needed", "predicted seconds", "seconds", "same rows",
            ],
            (
                (
                    o.table.qualified_name,
                    o.result,
                    o.detail,
                    o.table.bytes,
                    o.advice.estimate.estimated_bytes,
                    o.bytes_after,
                    o.advice.needs_bytes,
                    round(o.advice.seconds, 1),
                    None if o.seconds is None else round(o.seconds, 1),
                    None if o.rows_are_the_same is None else str(o.rows_are_the_same).lower(),
                )
                for o in outcomes
            ),
        ),
    }  # fmt: skip
