"""Sessions, replicas and slots, as an asset and its checks."""

import dagster as dg

from ft_ops.format import human_duration
from ft_ops.health.checks import problems_check
from ft_ops.health.connections.sessions import (
    Connections,
    headroom_problems,
    look_at_connections,
    nearly_out,
    replication_problems,
    stuck_problems,
)
from ft_ops.health.samples import write_samples
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import server_time
from ft_ops.settings import Settings

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.


@dg.asset(
    deps=["schema"],
    group_name="health",
    kinds={"postgres"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "connection_headroom",
            asset="connections",
            description="Less than 80 % of the server's connections are in use (an error from "
            "95 % on), and the application's pool is not used up.",
        ),
        dg.AssetCheckSpec(
            "no_stuck_sessions",
            asset="connections",
            description="No session is idle in its transaction, blocked, or holding a snapshot for "
            "longer than the settings allow, and no prepared transaction was forgotten.",
        ),
        dg.AssetCheckSpec(
            "replication_keeps_up",
            asset="connections",
            description="No replica lags too far behind, none of the last week is gone, and no "
            "slot holds back too much log.",
        ),
    ],
    description=(
        "Connections in use against the server's limit and the application's pool; sessions that "
        "hold something up, who blocks whom, the oldest snapshot; replicas and slots."
    ),
)
def connections(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with as_failure(), database.connect("connections") as connection:
        found = look_at_connections(connection, settings.app_role)
        write_samples(connection, found.samples(), server_time(connection))
    return dg.MaterializeResult(
        metadata={
            "in use": f"{found.usage.used} of {found.usage.available}",
            "the application": (
                f"{found.usage.application} of a pool of {settings.pool_connections}"
            ),
            "idle in transaction": found.usage.idle_in_transaction,
            "oldest snapshot": human_duration(found.oldest_snapshot_seconds),
            "sessions": _sessions_table(found),
            "replicas": table(
                ["replica", "state", "lag seconds", "lag bytes"],
                ((r.name, r.state, r.lag_seconds, r.lag_bytes) for r in found.replicas),
            ),
            "slots": table(
                ["slot", "kind", "active", "state", "bytes held back"],
                (
                    (s.name, s.kind, s.is_active, s.wal_status, s.retained_bytes)
                    for s in found.slots
                ),
            ),
        },
        check_results=[
            problems_check(
                "connection_headroom",
                headroom_problems(found.usage, settings.pool_connections),
                is_error=nearly_out(found.usage),
            ),
            problems_check("no_stuck_sessions", stuck_problems(found, settings), is_error=False),
            problems_check(
                "replication_keeps_up", replication_problems(found, settings), is_error=False
            ),
        ],
    )


def _sessions_table(found: Connections) -> dg.MetadataValue:
    return table(
        ["pid", "user", "application", "state", "waits for", "transaction s", "blocked s", "by"],
        (
            (
                s.pid,
                s.user_name,
                s.application,
                s.state,
                s.waits_for,
                round(s.transaction_seconds, 1),
                round(s.blocked_seconds, 1),
                ", ".join(str(pid) for pid in s.blocked_by),
            )
            for s in found.sessions
        ),
    )
