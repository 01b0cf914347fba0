"""The daily end of what interrupted rebuilds have left."""

import dagster as dg

from ft_ops.errors import OpsError
from ft_ops.maintenance.indexes.rebuild import finish_interrupted
from ft_ops.maintenance.rewrite.pg_repack import drop_repack_leftovers
from ft_ops.orchestration.jobs import op_job
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.application import require_monitoring


@dg.op(description="Settles interrupted rebuilds of indexes and tables, and drops what they left.")
def rebuild_leftovers(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    with as_failure():
        with database.connect("rebuild leftovers") as connection:
            require_monitoring(connection)
            # First, for it names what it can't drop: a rebuild that is at work refuses the other.
            repacked = drop_repack_leftovers(connection, context.log.info)
            remaining = finish_interrupted(connection, log=context.log.info)
        if remaining:
            raise OpsError(
                "leftovers of rebuilds",
                cause="; ".join(f"{index.qualified_name}: {why}" for index, why in remaining)
                + "".join(f"; {failed}" for failed in repacked.failed),
                next_step="end the session that is in the way and launch drop_rebuild_leftovers "
                "again; until then each of them slows writes down",
            )
        repacked.refuse_failures("leftovers of pg_repack")
        context.add_output_metadata({"left": table(["index", "why"], ())})


@op_job(
    "Finds out what became of rebuilds that were interrupted, and drops the invalid "
    "indexes that they left, and the triggers of a pg_repack that died, so that none slows writes "
    "down for longer than a day."
)
def drop_rebuild_leftovers() -> None:
    rebuild_leftovers()
