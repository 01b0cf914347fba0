"""Jobs and schedules of how the archive outlives its database."""

import dagster as dg

from ft_ops.archive.keep.assets import after_drill, archive_records, erasure_rehearsal
from ft_ops.archive.keep.checks import (
    archive_agrees_with_bucket,
    archive_records_are_shipped,
    erasures_survive_a_restore,
)
from ft_ops.orchestration.jobs import asset_job, schedule

ship_archive_records = asset_job(
    "ship_archive_records",
    dg.AssetSelection.assets("archive_records").without_checks(),
    "Puts tombstones, holds and the ledger's rows into the archive's bucket.",
    identity=True,
)

check_archive_records = asset_job(
    "check_archive_records",
    dg.AssetSelection.checks(
        archive_records_are_shipped, archive_agrees_with_bucket, erasures_survive_a_restore
    ),
    "Holds the database's ledger, tombstones and holds against the bucket's.",
    identity=True,
)

rehearse_erasures = asset_job(
    "rehearse_erasures",
    dg.AssetSelection.assets("erasure_rehearsal").without_checks(),
    "Restores a backup from before an erasure, and proves that nobody who was erased comes back.",
    identity=True,
)

defs = dg.Definitions(
    assets=[archive_records, erasure_rehearsal],
    asset_checks=[
        archive_records_are_shipped,
        archive_agrees_with_bucket,
        erasures_survive_a_restore,
    ],
    resources={"after_drill": after_drill},
    jobs=[ship_archive_records, check_archive_records, rehearse_erasures],
    schedules=[
        schedule("ship_archive_records_quarter_hourly", ship_archive_records, "*/15 * * * *"),
        schedule("rehearse_erasures_weekly", rehearse_erasures, "10 10 * * 6"),
        schedule("check_archive_records_daily", check_archive_records, "12 6 * * *"),
    ],
)
