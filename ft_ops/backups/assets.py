"""Assets of the backups: taken, shipped, listed, restored, let go."""

import random

import dagster as dg

from ft_ops.backups.drill.drill import Plan, named_plan, newest_plan, older_plan, run_drill
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import take_inventory
from ft_ops.backups.inventory.objectives import inventory_promises, log_promises
from ft_ops.backups.providers import replica_lag, replicates, retention_rules
from ft_ops.backups.resources import (
    DrillConfig,
    RetentionConfig,
    at_work,
    check_results,
    inventory_table,
    plan_table,
    taken_metadata,
)
from ft_ops.backups.retention.deletion import delete_backups, deletions
from ft_ops.backups.retention.picture import ladder_picture
from ft_ops.backups.retention.retention import plan_retention
from ft_ops.backups.take.take import take_full, take_increment
from ft_ops.clock import utc_now
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource
from ft_ops.pg.locks import only_one
from ft_ops.settings import Settings

CHECKS = {
    "full_backup_daily": "A full backup exists for each of the last days, the newest at most 26 "
    "hours old.",
    "increment_every_six_hours": "A point to restore to exists every six hours since yesterday.",
    "backups_verified": "A full that was restored and found whole is younger than "
    "FT_BACKUP_STALE_HOURS, and none that was verified failed its last drill.",
    "retention_ladder": "A verified full exists for each of the last days, weeks and months, "
    "since there are backups.",
    "disaster_recovery_copy": "The fulls have whole copies in another region.",
    "glacier_tier": "A proven dump of each month lies in a Glacier class.",
    "only_whole_backups": "Nothing failed, broke, disappeared, or is of another cluster.",
}

# An asset that declares checks is annotated without [None]: Dagster knows its result type by
# identity, and takes anything else for a tuple of outputs.

LOG_CHECKS = {
    "wal_lag": "The archived log is at most FT_WAL_LAG_SECONDS behind the server.",
    "wal_continuity": "The archived log has no hole from the oldest full on, and the server does "
    "not call archived what is not there.",
}


@dg.asset(
    deps=["schema"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "A full backup, ended by a named restore point with the fingerprint of every table. It "
        "counts for nothing until `restore_drill` has restored it."
    ),
)
def full_backup(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with at_work(database, settings) as work:
        taken = take_full(
            work.connection,
            work.provider,
            work.bucket,
            now=utc_now(),
            run_id=context.run.run_id,
            log=context.log.info,
        )
    return dg.MaterializeResult(metadata=taken_metadata(taken))


@dg.asset(
    deps=["full_backup"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "A named restore point behind the newest full, with the fingerprint of every table, once "
        "everything up to it has arrived in the bucket (on RDS: a manual snapshot besides)."
    ),
)
def incremental_backup(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with at_work(database, settings) as work:
        taken = take_increment(
            work.connection,
            work.provider,
            work.bucket,
            now=utc_now(),
            run_id=context.run.run_id,
            log=context.log.info,
        )
    return dg.MaterializeResult(metadata=taken_metadata(taken))


@dg.asset(
    deps=["schema"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(name, asset="wal_archive", description=description)
        for name, description in LOG_CHECKS.items()
    ],
    description=(
        "The write-ahead log in the bucket: a segment that was open for too long is completed, "
        "the spool is shipped, and lag, holes and timelines are measured by what the bucket lists."
    ),
)
def wal_archive(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with at_work(database, settings) as work:
        work.provider.ship_log(work.connection, context.log.info)
        fulls = [
            backup.begins_at_wal
            for backup in work.provider.stored_backups()
            if backup.condition == "complete" and backup.begins_at_wal is not None
        ]
        state = work.provider.log_state(work.connection, min(fulls, default=None))
    return dg.MaterializeResult(
        metadata={
            "restorable to": f"{state.restorable_to:%F %T}Z" if state.restorable_to else "nothing",
            "lag seconds": state.lag_seconds,
            "problems": list(state.problems),
            **state.details,
        },
        check_results=check_results(
            log_promises(state, work.settings.wal_lag_seconds), "wal_archive"
        ),
    )


@dg.asset(
    deps=["full_backup", "incremental_backup"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(name, asset="backup_inventory", description=description)
        for name, description in CHECKS.items()
    ],
    description=(
        "Every backup that exists or should: age, size, place, copy, verified or not. Holds the "
        "provider's list against the ledger, and both against what was promised."
    ),
)
def backup_inventory(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with at_work(database, settings) as work:
        inventory = take_inventory(
            work.connection,
            work.provider,
            work.bucket,
            now=utc_now(),
            log=context.log.info,
        )
    rules = retention_rules(work.settings)
    promises = inventory_promises(
        inventory,
        rules,
        replicates=replicates(work.settings),
        replica_lag=replica_lag(work.settings),
    )
    plan = plan_retention(inventory.candidates, rules, inventory.taken_at)
    return dg.MaterializeResult(
        metadata={
            "ladder": dg.MetadataValue.md(ladder_picture(plan, inventory.taken_at)),
            "backups": inventory_table(inventory),
            "bytes": sum(item.bytes for item in inventory.items),
            "broken": len(inventory.broken),
        },
        check_results=check_results(promises, "backup_inventory"),
    )


@dg.asset(
    deps=["full_backup", "incremental_backup"],
    group_name="backups",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "A backup restored on a server of its own, recovered to a named point, and checked row by "
        "row, index by index and block by block. Its certificate is what makes a backup verified."
    ),
)
def restore_drill(
    context: dg.AssetExecutionContext,
    config: DrillConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with at_work(database, settings) as work:
        drill = run_drill(
            work.connection,
            work.provider,
            work.bucket,
            _plan(ledger.entries(work.connection), config),
            now=utc_now(),
            run_id=context.run.run_id,
            log=context.log.info,
        )
    return dg.MaterializeResult(
        metadata={
            "backup": drill.plan.backup.name,
            "restored to": drill.plan.target.name,
            "everything committed before": f"{drill.restored_to:%F %T}Z",
            "recovery seconds": round(drill.recovery_seconds, 1),
            "loss seconds": round(drill.loss_seconds, 1),
            "dagster/row_count": drill.rows,
            "checks": table(
                ["check", "examined", "unit", "seconds", "findings"],
                (
                    (r.check, r.examined, r.unit, round(r.seconds, 2), len(r.findings))
                    for r in drill.rungs
                ),
            ),
            "certificate": drill.certificate,
        }
    )


@dg.asset(
    deps=["restore_drill"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "Lets go of backups that no rule keeps: 7 days, 4 weeks and 12 months of verified fulls "
        "stay. Shows its plan first, and refuses while the newest verified full is stale."
    ),
)
def backup_retention(
    context: dg.AssetExecutionContext,
    config: RetentionConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with at_work(database, settings) as work, only_one(work.connection, "backup retention"):
        rules = retention_rules(work.settings)
        inventory = take_inventory(
            work.connection, work.provider, work.bucket, now=utc_now(), log=context.log.info
        )
        plan = plan_retention(inventory.candidates, rules, inventory.taken_at)
        chosen = deletions(inventory, plan, rules)
        for deletion in chosen:
            context.log.info("goes: %s, %s", deletion.item.name, deletion.reason)
        is_applied = work.settings.backup_retention_apply and not config.dry_run
        if is_applied:
            delete_backups(
                work.connection, work.provider, work.bucket, inventory, chosen, context.log.info
            )
    return dg.MaterializeResult(
        metadata={
            "plan": plan_table(plan),
            "ladder": dg.MetadataValue.md(ladder_picture(plan, inventory.taken_at)),
            "stay": len(inventory.items) - len(chosen),
            "go": [deletion.item.name for deletion in chosen],
            "deleted": len(chosen) if is_applied else 0,
            "refusal": plan.refusal or "none",
            "dry run": not is_applied,
        }
    )


def _plan(entries: list[ledger.Entry], config: DrillConfig) -> Plan:
    if config.backup:
        return named_plan(entries, config.backup)
    if config.older:
        return older_plan(entries, random.SystemRandom())
    return newest_plan(entries)
