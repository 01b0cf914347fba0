"""Jobs and schedules of the maintenance."""

import dagster as dg

from ft_ops.maintenance.assets import frozen_partitions, vacuumed_tables, wraparound_check
from ft_ops.maintenance.emergency_jobs import vacuum_emergency
from ft_ops.maintenance.index_assets import index_bloat, rebuilt_indexes
from ft_ops.maintenance.index_checks import (
    estimates_are_accurate,
    index_advice_check,
    no_invalid_indexes,
)
from ft_ops.maintenance.leftover_jobs import drop_rebuild_leftovers
from ft_ops.maintenance.rewrite_jobs import repack_tables
from ft_ops.maintenance.table_assets import settings_advice_check, table_bloat
from ft_ops.orchestration.jobs import asset_job, schedule

vacuum_analyze = asset_job(
    "vacuum_analyze",
    ["vacuumed_tables", "frozen_partitions"],
    "Vacuums, freezes and analyses what needs it.",
)

freeze_closed_partitions = asset_job(
    "freeze_closed_partitions",
    ["frozen_partitions"],
    "Freezes the partitions of months that are over and stand still.",
)

rebuild_bloated_indexes = asset_job(
    "rebuild_bloated_indexes",
    ["index_bloat", "table_bloat", "rebuilt_indexes"],
    "Estimates the bloat of every index and table, and rebuilds the indexes that are worth it.",
)

check_maintenance = asset_job(
    "check_maintenance",
    dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("vacuumed_tables"), "wraparound"),
        dg.AssetCheckKey(dg.AssetKey("rebuilt_indexes"), "no_invalid_indexes"),
        dg.AssetCheckKey(dg.AssetKey("table_bloat"), "settings_advice"),
    ),
    "Reads the ages of transaction ids, looks for invalid indexes, and at what tables are set to.",
)

vacuum_analyze_weekly = schedule(
    "vacuum_analyze_weekly",
    vacuum_analyze,
    "0 0 * * 0",
)

drop_rebuild_leftovers_daily = schedule(
    "drop_rebuild_leftovers_daily",
    drop_rebuild_leftovers,
    "40 0 * * *",
    "Just before the check that would name them.",
)

freeze_closed_partitions_daily = schedule(
    "freeze_closed_partitions_daily",
    freeze_closed_partitions,
    "0 1 * * *",
    "Daily, so that a month is frozen a day after it was seen to stand still.",
)

rebuild_bloated_indexes_weekly = schedule(
    "rebuild_bloated_indexes_weekly",
    rebuild_bloated_indexes,
    "0 5 * * 0",
    "Sundays, when the window of the vacuums is over and their row counts are fresh.",
)

check_maintenance_daily = schedule(
    "check_maintenance_daily",
    check_maintenance,
    "45 0 * * *",
)

defs = dg.Definitions(
    assets=[vacuumed_tables, frozen_partitions, index_bloat, table_bloat, rebuilt_indexes],
    asset_checks=[
        wraparound_check,
        estimates_are_accurate,
        index_advice_check,
        no_invalid_indexes,
        settings_advice_check,
    ],
    jobs=[
        vacuum_analyze,
        freeze_closed_partitions,
        rebuild_bloated_indexes,
        check_maintenance,
        vacuum_emergency,
        drop_rebuild_leftovers,
        repack_tables,
    ],
    schedules=[
        vacuum_analyze_weekly,
        drop_rebuild_leftovers_daily,
        freeze_closed_partitions_daily,
        rebuild_bloated_indexes_weekly,
        check_maintenance_daily,
    ],
)
