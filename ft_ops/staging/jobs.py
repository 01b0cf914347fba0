"""The job that makes a masked dump."""

import dagster as dg

from ft_ops.orchestration.jobs import asset_job
from ft_ops.staging.assets import masked_copy

mask_copy = asset_job(
    "mask_copy",
    ["masked_copy"],
    "Writes an anonymised dump of last night's copy into the developers' bucket. By hand.",
    identity=True,
)

defs = dg.Definitions(assets=[masked_copy], jobs=[mask_copy])
