"""Jobs and schedules of the backups."""

import dagster as dg

from ft_ops.backups.assets import (
    backup_inventory,
    full_backup,
    incremental_backup,
    wal_archive,
)
from ft_ops.backups.dump_assets import monthly_dump
from ft_ops.backups.inventory.verified import full_was_begun
from ft_ops.backups.proof_assets import backup_retention, restore_drill
from ft_ops.backups.resources import DrillConfig, RetentionConfig
from ft_ops.orchestration.jobs import AssetJob, asset_job, run_request, schedule
from ft_ops.orchestration.resources import DatabaseResource, as_failure

take_full_backup = asset_job(
    "take_full_backup",
    ["full_backup"],
    "Takes a full backup, and waits until it can be restored to its own point.",
    identity=True,
)

take_incremental_backup = asset_job(
    "take_incremental_backup",
    ["incremental_backup"],
    "Marks a point behind the newest full, and waits until it can be restored to.",
    identity=True,
)

ship_wal = asset_job(
    "ship_wal",
    ["wal_archive"],
    "Ships what waits in the spool, and measures the archived log.",
    identity=True,
)

verify_backups = asset_job(
    "verify_backups",
    ["wal_archive", "backup_inventory"],
    "Lists every backup and holds the list against what was promised.",
    identity=True,
)

take_monthly_dump = asset_job(
    "take_monthly_dump",
    ["monthly_dump"],
    "Dumps the database, proves the dump by restoring it, and moves it to Glacier.",
    identity=True,
)

drill_restore = asset_job(
    "drill_restore",
    ["restore_drill"],
    "Restores a backup on a server of its own and checks what came back.",
    identity=True,
)

retain_backups = asset_job(
    "retain_backups",
    ["backup_retention"],
    "Lets go of backups that no rule keeps. A dry run when launched by hand.",
    identity=True,
)


def _after_the_first_full(
    name: str, job: AssetJob, cron: str, **config: dg.Config
) -> dg.ScheduleDefinition:
    """A schedule that asks for nothing before a new deployment's first full backup was begun.

    Its run could only fail, as an alarm of the first day that says nothing. Whether a full backup
    is missing that ought to be there, the checks of backup_inventory say.
    """

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def evaluate(
        context: dg.ScheduleEvaluationContext, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        with as_failure(), database.connect("backup schedule") as connection:
            if not full_was_begun(connection):
                return dg.SkipReason("no full backup was begun yet: full_backup_daily begins one")
        return run_request(
            run_key=context.scheduled_execution_time.isoformat(),
            run_config=dg.RunConfig(ops=dict(config)) if config else None,
        )

    return evaluate


schedules = [
    schedule("full_backup_daily", take_full_backup, "0 2 * * *"),
    _after_the_first_full("incremental_backup_six_hourly", take_incremental_backup, "0 */6 * * *"),
    schedule("ship_wal_quarter_hourly", ship_wal, "*/15 * * * *"),
    # After the night's full. Each full has to be restored once, or retention doesn't count it.
    _after_the_first_full("restore_drill_daily", drill_restore, "0 4 * * *"),
    _after_the_first_full(
        "restore_drill_of_an_older_one",
        drill_restore,
        "30 5 * * 3,6",
        restore_drill=DrillConfig(older=True),
    ),
    schedule(
        "backup_retention_daily",
        retain_backups,
        "0 7 * * *",
        backup_retention=RetentionConfig(dry_run=False),
    ),
    # After the night's work, and on the day that glacier_tier allows for it.
    schedule("monthly_dump_on_the_first", take_monthly_dump, "0 8 1 * *"),
    schedule("verify_backups_daily", verify_backups, "30 7 * * *"),
]

defs = dg.Definitions(
    assets=[
        full_backup,
        incremental_backup,
        wal_archive,
        backup_inventory,
        restore_drill,
        backup_retention,
        monthly_dump,
    ],
    jobs=[
        take_full_backup,
        take_incremental_backup,
        take_monthly_dump,
        ship_wal,
        verify_backups,
        drill_restore,
        retain_backups,
    ],
    schedules=schedules,
)
