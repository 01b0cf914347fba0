"""The asset `schema` and the job that sets a database up."""

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.items import Failed, SomeFailed
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.partitions import PARENTS, wanted_months, work_on_months
from ft_ops.pg.connect import Connection
from ft_ops.schema.drift import Difference, differences
from ft_ops.schema.extensions import install_extensions
from ft_ops.schema.fingerprint import expected_fingerprint, read_fingerprint
from ft_ops.schema.hypertable import ensure_hypertable
from ft_ops.schema.migrations import load_migrations, run_migrations
from ft_ops.schema.server import require_usable, server_facts
from ft_ops.settings import Settings


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
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """Apply what is pending, install extensions, and create the months that are missing."""
    with as_failure(), database.connect("schema") as connection:
        facts = server_facts(connection)
        require_usable(facts)
        migrations = load_migrations()
        applied = run_migrations(connection, migrations, log=context.log.info)
        extensions = install_extensions(connection, required=settings.require_extensions)
        samples = ensure_hypertable(connection)
        created = _first_partitions(context, connection, settings)
    return dg.MaterializeResult(
        metadata={
            "version": migrations[-1].version,
            "applied now": [f"{m.version}/{m.description}" for m in applied],
            "extensions": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "name": e.name,
                            "state": e.state,
                            "version": e.version or "",
                            "reason": e.reason or "",
                        }
                    )
                    for e in extensions
                ]
            ),
            "metric samples": samples,
            "server": dg.MetadataValue.json(facts.as_dict()),
            "partitions created": created,
        }
    )


def _first_partitions(
    context: dg.AssetExecutionContext, connection: Connection, settings: Settings
) -> int:
    """Create each parent's missing months and tell Dagster which partitions now exist."""
    last = settings.last_month_ahead(utc_now())
    created = 0
    failed: list[Failed] = []
    for parent in PARENTS:
        wanted = wanted_months(connection, parent, first=settings.first_month, last=last)
        worked = work_on_months(connection, parent, wanted, log=context.log.info)
        failed += worked.failed
        for outcome in worked.results:
            created += outcome.action == "created"
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=f"{parent}_partitions",
                    partition=outcome.month.key,
                    metadata={"table": outcome.name, "outcome": outcome.action},
                )
            )
    if failed:
        raise SomeFailed("first partitions", created, tuple(failed))
    return created


@dg.asset_check(
    asset=schema,
    name="schema_drift",
    description=(
        "The live catalog equals what the migrations produce: tables, columns, constraints, "
        "indexes, policies, triggers, functions, views, owners and grants, of partitions too; and "
        "the application's roles are what they were made. Names each difference."
    ),
)
def schema_drift(database: DatabaseResource) -> dg.AssetCheckResult:
    """Compare the live schema with the migrations'."""
    with as_failure(), database.connect("schema drift") as connection:
        found = differences(read_fingerprint(connection), expected_fingerprint())
    return _drift_result(found)


def _drift_result(found: list[Difference]) -> dg.AssetCheckResult:
    harmless = all(difference.is_harmless for difference in found)
    found = sorted(found, key=lambda difference: difference.is_harmless)
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN if harmless else dg.AssetCheckSeverity.ERROR,
        description=(
            f"{len(found)} differences; the first: {found[0].words}"
            if found
            else "the live schema is the migrations'"
        ),
        metadata={"differences": [difference.words for difference in found]},
    )


@dg.asset_check(
    asset=schema,
    name="server_settings",
    description=(
        "PostgreSQL 15 or newer, encoding UTF8, text indexes that were sorted by the collation "
        "library that the system has now, and autovacuum with its counters on."
    ),
)
def server_settings(database: DatabaseResource) -> dg.AssetCheckResult:
    """Check version, encoding, collation and autovacuum."""
    with as_failure(), database.connect("server settings") as connection:
        facts = server_facts(connection)
    return dg.AssetCheckResult(
        passed=facts.unusable is None and facts.warning is None,
        severity=dg.AssetCheckSeverity.ERROR if facts.unusable else dg.AssetCheckSeverity.WARN,
        description=facts.unusable or facts.warning or f"PostgreSQL {facts.version}, UTF8",
        metadata={"server": dg.MetadataValue.json(facts.as_dict())},
    )
