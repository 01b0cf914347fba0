"""The asset `schema` and the job that sets a database up."""

import dagster as dg

from ft_ops.defs import HEAVY_POOL, OWNERS, lookahead_month, utc_now
from ft_ops.partitions import PARENTS, ensure_months, wanted_months
from ft_ops.pg.connect import Connection
from ft_ops.policy import Policy
from ft_ops.resources import Database, Settings, as_failure
from ft_ops.schema.extensions import install_extensions
from ft_ops.schema.migrations import load_migrations, run_migrations


@dg.asset(
    group_name="schema",
    kinds={"postgres"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    description=(
        "FamilyTales' schema: `sql/migrations` applied in order and recorded in sqlx's ledger, "
        "the extensions that the server has, and the first partitions. Safe to run again."
    ),
)
def schema(
    context: dg.AssetExecutionContext, database: Database, settings: Settings
) -> dg.MaterializeResult[None]:
    """Apply what is pending, install extensions, and create the months that are missing."""
    with as_failure(), database.connect("schema") as connection:
        policy = settings.policy()
        migrations = load_migrations()
        applied = run_migrations(connection, migrations, log=context.log.info)
        extensions = install_extensions(connection, required=policy.require_extensions)
        created = _first_partitions(context, connection, policy)
    return dg.MaterializeResult(
        metadata={
            "version": migrations[-1].version,
            "applied now": [f"{m.version}/{m.description}" for m in applied],
            "extensions": dg.MetadataValue.table(
                [
                    dg.TableRecord({"name": e.name, "state": e.state, "version": e.version or ""})
                    for e in extensions
                ]
            ),
            "partitions created": created,
        }
    )


def _first_partitions(
    context: dg.AssetExecutionContext, connection: Connection, policy: Policy
) -> int:
    """Create each parent's missing months and tell Dagster which partitions now exist."""
    last = lookahead_month(policy.partition_lookahead_months, utc_now())
    created = 0
    for parent in PARENTS:
        wanted = wanted_months(connection, parent, first=policy.first_month, last=last)
        for outcome in ensure_months(connection, parent, wanted, log=context.log.info):
            created += outcome.action == "created"
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=f"{parent}_partitions",
                    partition=outcome.month.key,
                    metadata={"table": outcome.name, "outcome": outcome.action},
                )
            )
    return created


initial_schema = dg.define_asset_job(
    "initial_schema",
    selection=[schema],
    description="Sets a database up: migrations, extensions and the first partitions.",
)

defs = dg.Definitions(assets=[schema], jobs=[initial_schema])
