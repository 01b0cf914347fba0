"""The asset of what lies in the bucket beside the archive: tombstones, holds, the ledger's rows."""

import dagster as dg

from ft_ops.archive.keep.ship import ship_records
from ft_ops.archive.run import archive_run
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings


@dg.asset(
    group_name="archive",
    kinds={"s3"},
    owners=OWNERS,
    description=(
        "Tombstones, legal holds and the ledger's rows in the archive's bucket, in STANDARD: with "
        "them the bucket alone is enough to rebuild what the database knows of the archive. What "
        "was erased since the last run is known to this database alone."
    ),
)
def archive_records(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    with as_failure(), database.connect("archive records") as connection:
        run = archive_run(connection, settings, context.run.run_id, context.log.info)
        shipped = ship_records(run)
    return dg.MaterializeResult(
        metadata={
            "tombstones and holds": shipped.events,
            "generations": table(["generation"], [(name,) for name in shipped.generations]),
        }
    )
