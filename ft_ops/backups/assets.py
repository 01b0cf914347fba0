"""Assets of the backups: taken, shipped, listed."""

from collections.abc import Iterator

import dagster as dg

from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import first_wal, take_inventory
from ft_ops.backups.inventory.objectives import inventory_promises, log_promises
from ft_ops.backups.providers import longest_copy_lag, replicates, retention_rules
from ft_ops.backups.resources import (
    at_work,
    check_results,
    inventory_table,
    taken_metadata,
)
from ft_ops.backups.retention.deletion import plan_of
from ft_ops.backups.retention.picture import ladder_picture
from ft_ops.backups.take.take import take_full, take_increment
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError
from ft_ops.format import human_bytes, human_duration
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings

CHECKS = {
    "full_backup_daily": "A full backup exists for each of the last days, the newest at most 26 "
    "hours old.",
    "increment_every_six_hours": "A point to restore to exists every six hours since yesterday.",
    "backups_verified": "A full that was restored and found whole is younger than "
    "FT_BACKUP_STALE_HOURS, no drill refuted a backup that nobody has looked at since, and the "
    "last drill of each came to a verdict.",
    "retention_ladder": "A verified full exists for each of the last days, weeks and months, "
    "since there are backups.",
    "disaster_recovery_copy": "The fulls have whole copies in another region.",
    "glacier_tier": "A proven dump of each month lies in a Glacier class.",
    "only_whole_backups": "Nothing failed, broke, disappeared, or is of another cluster.",
    "compared_by_drills": "Each table is compared by some drill of late, and the server has data "
    "checksums.",
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
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    failure = None
    with at_work(database, settings) as work:
        try:
            work.provider.ship_log(work.connection, context.log.info)
        except OpsError as error:
            # The log is measured all the same: what was green would stay so. Should that fail, too,
            # nobody would hear of this.
            context.log.warning("not all of the log was shipped: %s", error)
            failure = error
        since = first_wal(ledger.entries(work.connection), work.provider)
        state = work.provider.log_state(work.connection, since)
    promises = log_promises(state, work.settings.wal_lag_seconds, has_backups=since is not None)
    results = check_results(promises, "wal_archive")
    if failure is not None:
        yield from results
        with as_failure():
            raise failure
    yield dg.MaterializeResult(
        metadata={
            "restorable to": f"{state.restorable_to:%F %T}Z" if state.restorable_to else "nothing",
            "lag": human_duration(state.lag_seconds),
            "problems": list(state.problems),
            **state.details,
        },
        check_results=results,
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
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
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
        replica_lag=longest_copy_lag(work.settings),
    )
    plan = plan_of(inventory, rules)
    yield dg.MaterializeResult(
        metadata={
            "ladder": dg.MetadataValue.md(ladder_picture(plan, inventory.taken_at)),
            "backups": inventory_table(inventory),
            "bytes": human_bytes(sum(item.bytes for item in inventory.items)),
            "broken": len(inventory.broken),
        },
        check_results=check_results(promises, "backup_inventory"),
    )
    with as_failure():
        inventory.refuse_lost_refutations()
