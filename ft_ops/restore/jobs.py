"""The job that brings one family, book, thread or user back."""

import dagster as dg

from ft_ops.orchestration.jobs import asset_job
from ft_ops.restore.assets import restored_family

restore_family = asset_job(
    "restore_family",
    ["restored_family"],
    "Brings one family, book, thread or user back from a backup. A dry run by hand.",
    identity=True,
)

defs = dg.Definitions(assets=[restored_family], jobs=[restore_family])
