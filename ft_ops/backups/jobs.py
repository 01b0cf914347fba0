"""Jobs and schedules of the backups."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ft_ops.backups.resources import DrillConfig, RetentionConfig
from ft_ops.orchestration.shared import own_identity

take_full_backup = dg.define_asset_job(
    "take_full_backup",
    tags=own_identity("take_full_backup"),
    selection=["full_backup"],
    description="Takes a full backup, and waits until it can be restored to its own point.",
)

take_incremental_backup = dg.define_asset_job(
    "take_incremental_backup",
    tags=own_identity("take_incremental_backup"),
    selection=["incremental_backup"],
    description="Marks a point behind the newest full, and waits until it can be restored to.",
)

ship_wal = dg.define_asset_job(
    "ship_wal",
    tags=own_identity("ship_wal"),
    selection=["wal_archive"],
    description="Ships what waits in the spool, and measures the archived log.",
)

verify_backups = dg.define_asset_job(
    "verify_backups",
    tags=own_identity("verify_backups"),
    selection=["wal_archive", "backup_inventory"],
    description="Lists every backup and holds the list against what was promised.",
)

take_monthly_dump = dg.define_asset_job(
    "take_monthly_dump",
    tags=own_identity("take_monthly_dump"),
    selection=["monthly_dump"],
    description="Dumps the database, proves the dump by restoring it, and moves it to Glacier.",
)

drill_restore = dg.define_asset_job(
    "drill_restore",
    tags=own_identity("drill_restore"),
    selection=["restore_drill"],
    description="Restores a backup on a server of its own and checks what came back.",
)

retain_backups = dg.define_asset_job(
    "retain_backups",
    tags=own_identity("retain_backups"),
    selection=["backup_retention"],
    description="Lets go of backups that no rule keeps. A dry run when launched by hand.",
)


def _schedule(
    name: str, job: UnresolvedAssetJobDefinition, cron: str, **config: dg.Config
) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        run_config=dg.RunConfig(ops=dict(config)) if config else None,
    )


schedules = [
    _schedule("full_backup_daily", take_full_backup, "0 2 * * *"),
    _schedule("incremental_backup_six_hourly", take_incremental_backup, "0 */6 * * *"),
    _schedule("ship_wal_quarter_hourly", ship_wal, "*/15 * * * *"),
    # After the night's full. Each full has to be restored once, or retention doesn't count it.
    _schedule("restore_drill_daily", drill_restore, "0 4 * * *"),
    _schedule(
        "restore_drill_of_an_older_one",
        drill_restore,
        "30 5 * * 3,6",
        restore_drill=DrillConfig(older=True),
    ),
    _schedule(
        "backup_retention_daily",
        retain_backups,
        "0 7 * * *",
        backup_retention=RetentionConfig(dry_run=False),
    ),
    # After the night's work, and on the day that glacier_tier allows for it.
    _schedule("monthly_dump_on_the_first", take_monthly_dump, "0 8 1 * *"),
    _schedule("verify_backups_daily", verify_backups, "30 7 * * *"),
]

defs = dg.Definitions(
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
