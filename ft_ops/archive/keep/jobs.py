"""Jobs and schedules of how the archive outlives its database."""

import dagster as dg

from ft_ops.archive.keep.assets import archive_records
from ft_ops.archive.keep.checks import archive_agrees_with_bucket, archive_records_are_shipped
from ft_ops.orchestration.jobs import asset_job, schedule

ship_archive_records = asset_job(
    "ship_archive_records",
    dg.AssetSelection.assets("archive_records").without_checks(),
    "Puts tombstones, holds and the ledger's rows into the archive's bucket.",
    identity=True,
)

check_archive_records = asset_job(
    "check_archive_records",
    dg.AssetSelection.checks(archive_records_are_shipped, archive_agrees_with_bucket),
    "Holds the database's ledger, tombstones and holds against the bucket's.",
    identity=True,
)

defs = dg.Definitions(
    assets=[archive_records],
    asset_checks=[archive_records_are_shipped, archive_agrees_with_bucket],
    jobs=[ship_archive_records, check_archive_records],
    schedules=[
        schedule("ship_archive_records_quarter_hourly", ship_archive_records, "*/15 * * * *"),
        schedule("check_archive_records_daily", check_archive_records, "12 6 * * *"),
    ],
)
