"""A masked dump of last night's copy, in the developers' bucket."""

import dagster as dg
from pydantic import Field

from ft_ops.backups import open_workplace
from ft_ops.clock import utc_now
from ft_ops.format import human_bytes
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings
from ft_ops.staging.staging import into_bucket, mask_copy


class MaskConfig(dg.Config):
    """Launch config of a masked dump. Nothing of the operations' own is changed by it."""

    at: str = Field(
        default="",
        description="A backup's name in backup_inventory, or a moment such as 2026-11-24T18:00Z: "
        "the newest point before it. Empty: the newest.",
    )


@dg.asset(
    group_name="staging",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "Last night's copy as an anonymised dump for developers, in FT_STAGING_BUCKET: every "
        "column of text, JSON or addresses masked by a rule, references and uniqueness kept, and "
        "the dump's own bytes looked through for what must not be there."
    ),
)
def masked_copy(
    context: dg.AssetExecutionContext,
    config: MaskConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with as_failure(), database.connect("staging") as connection:
        deliver = into_bucket(settings, utc_now())
        work = open_workplace(settings, connection)
        found = mask_copy(work, config.at, deliver, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "dump": found.address,
            "bytes": human_bytes(found.bytes),
            "point": f"{found.point} ({found.source})",
            "masked": table(
                ["table", "rows", "columns"],
                ((m.table, m.rows, ", ".join(m.columns)) for m in found.masked),
            ),
            "personal texts looked for, none found": found.looked_for,
            "same values in the next dump": found.is_repeatable,
        }
    )
