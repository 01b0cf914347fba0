"""The vacuum of the oldest tables, from the launchpad."""

import time

import dagster as dg
from pydantic import Field

from ft_ops.maintenance.assets import outcome_metadata
from ft_ops.maintenance.tables.emergency import refuse_unfinished, vacuum_oldest
from ft_ops.orchestration.jobs import op_job
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring


class EmergencyConfig(dg.Config):
    """Launch config of `vacuum_emergency`."""

    tables: list[str] = Field(
        default=[],
        description="Freeze these tables and no others. Those of public by their name, others as "
        "schema.table, catalogs as pg_catalog.pg_class. Empty: all that are beyond half of the "
        "age that forces a freeze.",
    )
    minutes: float = Field(default=720.0, gt=0, description="After so many minutes it ends.")


# Outside the pool of heavy work: it must not wait for an export that takes all night.
@dg.op(description="Freezes the oldest tables of the database, the server's own included.")
def oldest_tables_vacuum(
    context: dg.OpExecutionContext, config: EmergencyConfig, database: DatabaseResource
) -> None:
    deadline = time.monotonic() + 60 * config.minutes
    with as_failure(), database.connect("vacuum emergency") as connection:
        require_monitoring(connection)
        found = vacuum_oldest(connection, config.tables, deadline=deadline, log=context.log.warning)
        context.add_output_metadata(
            {
                **outcome_metadata(found.outcomes),
                "holders of the xmin horizon": dg.MetadataValue.json(list(found.holders)),
                "other databases": dg.MetadataValue.json(list(found.elsewhere)),
            }
        )
        refuse_unfinished(found)


@op_job(
    "Freezes the oldest tables as fast as can be, catalogs included, and names who "
    "keeps ids from being frozen. For the check wraparound; nothing runs it on a schedule."
)
def vacuum_emergency() -> None:
    oldest_tables_vacuum()
