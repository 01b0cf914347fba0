"""Assets, checks, jobs and schedules of the database's health."""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta

import dagster as dg

from ft_ops.defs import OWNERS, table, utc_now
from ft_ops.health.capacity import (
    PROJECTED_CONTENT_BYTES,
    PROJECTED_FAMILIES,
    PROJECTED_SEGMENTS,
    Outlook,
    Sizes,
    beyond_projection,
    measure_sizes,
    outlook,
)
from ft_ops.health.connections import (
    Connections,
    headroom_problems,
    look_at_connections,
    nearly_out,
    replication_problems,
    stuck_problems,
)
from ft_ops.health.judgement import Verdict, judge
from ft_ops.health.latency import Latencies, Percentiles, measure_latency, sample_parameters
from ft_ops.health.overview_assets import defs as overview_defs
from ft_ops.health.pictures import capacity_picture, growth_picture
from ft_ops.health.queries import screens
from ft_ops.health.samples import Sample, forget_samples, write_samples
from ft_ops.health.words import human_bytes
from ft_ops.policy import Policy
from ft_ops.resources import Database, Settings, as_failure

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.

_READ_ONLY = {"default_transaction_read_only": "on", "statement_timeout": "60s"}


@dg.asset(
    group_name="health",
    kinds={"postgres"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "latency_within_targets",
            asset="query_latency",
            description="The p95 of each screen is below the specification's target.",
        )
    ],
    description=(
        "How long the five product queries take on the live database, for visitors drawn from it: "
        "read-only, bounded in number and time, under row level security where the operations may "
        "become the application's role. The plan of what misses its target is kept."
    ),
)
def query_latency(
    context: dg.AssetExecutionContext, database: Database, settings: Settings
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    policy = settings.policy()
    now = utc_now()
    with as_failure():
        with database.connect("query latency", **_READ_ONLY) as connection:
            parameters = sample_parameters(connection, policy.latency_samples, random.Random())
            latencies = measure_latency(
                connection,
                parameters,
                app_role=policy.app_role,
                timeout_ms=policy.latency_timeout_ms,
                budget_seconds=policy.latency_budget_seconds,
            )
            context.log.info("%d executions of each query as %s", latencies.samples, latencies.role)
            verdicts = judge(
                connection,
                latencies,
                screens(policy),
                app_role=policy.app_role,
                timeout_ms=policy.latency_timeout_ms,
                now=now,
            )
        with database.connect("health samples") as connection:
            write_samples(connection, _latency_samples(latencies, verdicts), now)
    return dg.MaterializeResult(
        metadata={
            "measured as": _role_words(latencies, policy),
            "executions of each": latencies.samples,
            "round trip (ms)": round(latencies.round_trip_ms, 2),
            "screens": table(
                ["screen", "p50 ms", "p95 ms", "p99 ms", "target ms", "met"],
                (
                    (v.screen.name, *_rounded(v.percentiles), v.screen.target_ms, v.met)
                    for v in verdicts
                ),
            ),
            "queries": table(
                ["query", "p50 ms", "p95 ms", "p99 ms", "timed out"],
                (
                    (name, *_rounded(Percentiles.of(times)), latencies.timeouts[name])
                    for name, times in latencies.times_ms.items()
                ),
            ),
            **_plans(verdicts),
        },
        check_results=[_latency_check(verdicts)],
    )


@dg.asset(
    group_name="health",
    kinds={"postgres"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "disk_headroom",
            asset="capacity",
            description="The disk is not expected to be full within FT_DISK_WARNING_DAYS.",
        ),
        dg.AssetCheckSpec(
            "growth_within_projection",
            asset="capacity",
            description="The last whole month brought no more than FT_GROWTH_TOLERANCE times what "
            "the specification projects.",
        ),
    ],
    description=(
        "Sizes of tables, indexes, partitions and archives, kept over time; growth by month "
        "against the projections, a forecast with its band, and the day the disk is full."
    ),
)
def capacity(database: Database, settings: Settings) -> dg.MaterializeResult:  # type: ignore[type-arg]
    policy = settings.policy()
    now = utc_now()
    with as_failure(), database.connect("capacity") as connection:
        sizes = measure_sizes(connection, now)
        write_samples(connection, sizes.samples(), now)
        forgotten = forget_samples(connection, now - timedelta(days=policy.metric_keep_days))
        ahead = outlook(connection, now)
    limit = policy.database_volume_gb * 1e9 if policy.database_volume_gb is not None else None
    return dg.MaterializeResult(
        metadata={
            "database": human_bytes(sizes.database_bytes),
            "forecast": dg.MetadataValue.md(
                f"{_outlook_words(ahead, limit)}\n\n![]({capacity_picture(ahead, limit)})"
            ),
            "growth": dg.MetadataValue.md(
                f"![]({growth_picture(sizes.growth, PROJECTED_SEGMENTS)})"
            ),
            "growth by month": _growth_table(sizes),
            "tables": table(
                ["table", "table bytes", "index bytes", "rows (estimated)"],
                ((t.name, t.table_bytes, t.index_bytes, t.estimated_rows) for t in sizes.tables),
            ),
            "partitions": table(["partition", "bytes"], sizes.partitions.items()),
            "archive": table(["storage class", "bytes"], sizes.archive.items()),
            "samples removed": f"{forgotten.number} {forgotten.of}",
        },
        check_results=[
            _disk_check(sizes, ahead, limit, policy),
            _growth_check(beyond_projection(sizes.growth, now, policy.growth_tolerance)),
        ],
    )


@dg.asset(
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
            "longer than the policy allows, and no prepared transaction was forgotten.",
        ),
        dg.AssetCheckSpec(
            "replication_keeps_up",
            asset="connections",
            description="No replica lags too far behind and no slot holds back too much log.",
        ),
    ],
    description=(
        "Connections in use against the server's limit and the application's pool; sessions that "
        "hold something up, who blocks whom, the oldest snapshot; replicas and slots."
    ),
)
def connections(database: Database, settings: Settings) -> dg.MaterializeResult:  # type: ignore[type-arg]
    policy = settings.policy()
    with as_failure(), database.connect("connections") as connection:
        found = look_at_connections(connection, policy.app_role)
        write_samples(connection, found.samples(), utc_now())
    return dg.MaterializeResult(
        metadata={
            "in use": f"{found.usage.used} of {found.usage.available}",
            "the application": f"{found.usage.application} of a pool of {policy.pool_connections}",
            "idle in transaction": found.usage.idle_in_transaction,
            "oldest snapshot (s)": round(found.oldest_snapshot_seconds, 1),
            "sessions": _sessions_table(found),
            "replicas": table(
                ["replica", "state", "lag s", "lag bytes"],
                ((r.name, r.state, round(r.lag_seconds, 1), r.lag_bytes) for r in found.replicas),
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
            _problems_check(
                "connection_headroom",
                headroom_problems(found.usage, policy.pool_connections),
                is_error=nearly_out(found.usage),
            ),
            _problems_check("no_stuck_sessions", stuck_problems(found, policy), is_error=False),
            _problems_check(
                "replication_keeps_up", replication_problems(found, policy), is_error=False
            ),
        ],
    )


def _latency_samples(latencies: Latencies, verdicts: Iterable[Verdict]) -> list[Sample]:
    figures = [("screen", v.screen.name, v.percentiles) for v in verdicts]
    figures += [("query", q, Percentiles.of(times)) for q, times in latencies.times_ms.items()]
    return [
        Sample(f"{what}_{name}_ms", subject, value)
        for what, subject, found in figures
        for name, value in (("p50", found.p50), ("p95", found.p95), ("p99", found.p99))
    ]


def _role_words(latencies: Latencies, policy: Policy) -> str:
    if latencies.role == policy.app_role:
        return f"{latencies.role}, under row level security"
    return (
        f"{latencies.role}, without row level security: GRANT {policy.app_role} TO "
        f"{latencies.role} WITH INHERIT FALSE shows what the application sees"
    )


def _rounded(percentiles: Percentiles) -> tuple[float, float, float]:
    return round(percentiles.p50, 2), round(percentiles.p95, 2), round(percentiles.p99, 2)


def _plans(verdicts: Iterable[Verdict]) -> dict[str, dg.MetadataValue]:
    return {
        f"plan of {slow.query}": dg.MetadataValue.md(
            f"{slow.took_ms:.1f} ms at worst; {slow.finding.words}\n\n"
            f"```json\n{slow.plan.document}\n```"
        )
        for verdict in verdicts
        for slow in verdict.slow
    }


def _latency_check(verdicts: Sequence[Verdict]) -> dg.AssetCheckResult:
    missed = [verdict for verdict in verdicts if not verdict.met]
    return dg.AssetCheckResult(
        check_name="latency_within_targets",
        passed=not missed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(verdict.words for verdict in missed or verdicts),
        metadata={verdict.screen.name: round(verdict.percentiles.p95, 2) for verdict in verdicts},
    )


def _outlook_words(ahead: Outlook, limit: float | None) -> str:
    if ahead.forecast is None:
        return f"Too little history for a forecast: {len(ahead.history)} figures."
    growth = f"It grows by {human_bytes(ahead.forecast.daily_growth)} a day."
    if limit is None:
        return f"{growth} FT_DATABASE_VOLUME_GB is not set."
    expected, earliest = ahead.forecast.reaches(limit), ahead.forecast.may_reach(limit)
    if expected is None:
        return f"{growth} The disk is not full within two years."
    return f"{growth} The disk is full about {expected}, on {earliest} at the earliest."


def _growth_table(sizes: Sizes) -> dg.MetadataValue:
    projected = (PROJECTED_SEGMENTS, PROJECTED_FAMILIES, None, PROJECTED_CONTENT_BYTES)
    return table(
        ["month", "segments", "families", "users", "bytes of content"],
        [
            *(
                (str(g.month), g.segments, g.families, g.users, g.content_bytes)
                for g in sizes.growth
            ),
            ("projected", *projected),
        ],
    )


def _disk_check(
    sizes: Sizes, ahead: Outlook, limit: float | None, policy: Policy
) -> dg.AssetCheckResult:
    if limit is None:
        return dg.AssetCheckResult(
            check_name="disk_headroom",
            passed=True,
            description="not judged: FT_DATABASE_VOLUME_GB is not set",
        )
    is_full = sizes.database_bytes >= limit
    earliest = ahead.forecast.may_reach(limit) if ahead.forecast is not None else None
    horizon = utc_now().date() + timedelta(days=policy.disk_warning_days)
    is_near = earliest is not None and earliest <= horizon
    share = f"{sizes.database_bytes / limit:.0%} of {human_bytes(limit)} are used"
    return dg.AssetCheckResult(
        check_name="disk_headroom",
        passed=not is_full and not is_near,
        severity=dg.AssetCheckSeverity.ERROR if is_full else dg.AssetCheckSeverity.WARN,
        description=f"{share}. {_outlook_words(ahead, limit)}",
    )


def _growth_check(problems: Sequence[str]) -> dg.AssetCheckResult:
    return _problems_check("growth_within_projection", problems, is_error=False)


def _problems_check(name: str, problems: Iterable[str], *, is_error: bool) -> dg.AssetCheckResult:
    found = list(problems)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description="; ".join(found) or "in order",
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


check_health = dg.define_asset_job(
    "check_health",
    selection=["query_latency", "capacity", "connections"],
    description="Measures latency, sizes and connections.",
)

check_connections = dg.define_asset_job(
    "check_connections",
    selection=["connections"],
    description="Looks at sessions, replicas and slots.",
)

check_health_daily = dg.ScheduleDefinition(
    name="check_health_daily",
    job=check_health,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

check_connections_hourly = dg.ScheduleDefinition(
    name="check_connections_hourly",
    job=check_connections,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions.merge(
    dg.Definitions(
        assets=[query_latency, capacity, connections],
        jobs=[check_health, check_connections],
        schedules=[check_health_daily, check_connections_hourly],
    ),
    overview_defs,
)
