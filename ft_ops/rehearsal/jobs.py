"""The job that rehearses an upgrade."""

import dagster as dg

from ft_ops.orchestration.jobs import asset_job
from ft_ops.rehearsal.assets import upgrade_rehearsal

rehearse_upgrade = asset_job(
    "rehearse_upgrade",
    ["upgrade_rehearsal"],
    "Upgrades last night's copy to the next major version, and says what the real one would do. "
    "By hand.",
    identity=True,
)

defs = dg.Definitions(assets=[upgrade_rehearsal], jobs=[rehearse_upgrade])
