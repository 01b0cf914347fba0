"""The asset of the Glacier tier: a dump of the month, proven and frozen."""

import dagster as dg

from ft_ops.backups.dump.dump import take_dump
from ft_ops.backups.providers import dump_rules
from ft_ops.backups.resources import at_work, taken_metadata
from ft_ops.clock import utc_now
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.resources import DatabaseResource
from ft_ops.settings import Settings


@dg.asset(
    deps=["schema"],
    group_name="backups",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "A logical dump in a Glacier class: it outlives the base backups, and any later "
        "PostgreSQL reads it. It is restored from the stored bytes and compared row by row before "
        "it counts, and only then moved to its class."
    ),
)
def monthly_dump(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with at_work(database, settings) as work:
        rules = dump_rules(work.settings)
        taken = take_dump(
            work.connection,
            work.settings.require_database_url(),
            work.bucket,
            rules,
            provider=work.provider.name,
            cluster=work.provider.cluster,
            now=utc_now(),
            run_id=context.run.run_id,
            log=context.log.info,
        )
    return dg.MaterializeResult(
        metadata={**taken_metadata(taken), "storage class": rules.storage_class}
    )
