"""Jobs and schedules of the maintenance."""

import dagster as dg

vacuum_analyze = dg.define_asset_job(
    "vacuum_analyze",
    selection=["vacuumed_tables", "frozen_partitions"],
    description="Vacuums, freezes and analyses what needs it.",
)

freeze_closed_partitions = dg.define_asset_job(
    "freeze_closed_partitions",
    selection=["frozen_partitions"],
    description="Freezes the partitions of months that are over and stand still.",
)

rebuild_bloated_indexes = dg.define_asset_job(
    "rebuild_bloated_indexes",
    selection=["index_bloat", "rebuilt_indexes"],
    description="Estimates the bloat of every index, and rebuilds what is worth it.",
)

check_maintenance = dg.define_asset_job(
    "check_maintenance",
    selection=dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("vacuumed_tables"), "wraparound"),
        dg.AssetCheckKey(dg.AssetKey("rebuilt_indexes"), "no_invalid_indexes"),
    ),
    description="Reads the ages of transaction ids, and looks for invalid indexes.",
)

vacuum_analyze_weekly = dg.ScheduleDefinition(
    name="vacuum_analyze_weekly",
    job=vacuum_analyze,
    cron_schedule="0 0 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

freeze_closed_partitions_daily = dg.ScheduleDefinition(
    name="freeze_closed_partitions_daily",
    job=freeze_closed_partitions,
    cron_schedule="0 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily, so that a month is frozen a day after it was seen to stand still.",
)

rebuild_bloated_indexes_weekly = dg.ScheduleDefinition(
    name="rebuild_bloated_indexes_weekly",
    job=rebuild_bloated_indexes,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays, when the window of the vacuums is over and their row counts are fresh.",
)

check_maintenance_daily = dg.ScheduleDefinition(
    name="check_maintenance_daily",
    job=check_maintenance,
    cron_schedule="45 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    jobs=[vacuum_analyze, freeze_closed_partitions, rebuild_bloated_indexes, check_maintenance],
    schedules=[
        vacuum_analyze_weekly,
        freeze_closed_partitions_daily,
        rebuild_bloated_indexes_weekly,
        check_maintenance_daily,
    ],
)
