"""The latency of the product's queries, as an asset and its check."""

import random
from collections.abc import Iterable, Sequence

import dagster as dg

from ft_ops.health.latency.measure import Latencies, Percentiles, measure_latency, sample_parameters
from ft_ops.health.latency.queries import screens
from ft_ops.health.latency.targets import ScreenResult, judge
from ft_ops.health.samples import Sample, write_samples
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import server_time
from ft_ops.settings import Settings

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.

_READ_ONLY = {"default_transaction_read_only": "on", "statement_timeout": "60s"}


@dg.asset(
    deps=["schema"],
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
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with as_failure():
        with database.connect("query latency", **_READ_ONLY) as connection:
            parameters = sample_parameters(connection, settings.latency_samples, random.Random())
            if not parameters:
                return _nothing_to_measure()
            latencies = measure_latency(
                connection,
                parameters,
                app_role=settings.app_role,
                timeout_ms=settings.latency_timeout_ms,
                budget_seconds=settings.latency_budget_seconds,
            )
            context.log.info("%d executions of each query as %s", latencies.samples, latencies.role)
            verdicts = judge(
                connection,
                latencies,
                screens(settings),
                app_role=settings.app_role,
                timeout_ms=settings.latency_timeout_ms,
                now=server_time(connection),
            )
        with database.connect("health samples") as connection:
            samples = _latency_samples(latencies, verdicts)
            write_samples(connection, samples, server_time(connection))
    return dg.MaterializeResult(
        metadata={
            "measured as": _role_words(latencies, settings),
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


def _nothing_to_measure() -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Of a new deployment, before anybody has written anything."""
    words = "nothing to measure: the database has no content yet"
    passed = dg.AssetCheckResult(
        check_name="latency_within_targets", passed=True, description=words
    )
    return dg.MaterializeResult(metadata={"measured as": words}, check_results=[passed])


def _latency_samples(latencies: Latencies, verdicts: Iterable[ScreenResult]) -> list[Sample]:
    figures = [("screen", v.screen.name, v.percentiles) for v in verdicts]
    figures += [("query", q, Percentiles.of(times)) for q, times in latencies.times_ms.items()]
    return [
        Sample(f"{what}_{name}_ms", subject, value)
        for what, subject, found in figures
        for name, value in (("p50", found.p50), ("p95", found.p95), ("p99", found.p99))
    ]


def _role_words(latencies: Latencies, settings: Settings) -> str:
    if latencies.role == settings.app_role:
        return f"{latencies.role}, under row level security"
    return (
        f"{latencies.role}, without row level security: GRANT {settings.app_role} TO "
        f"{latencies.role} WITH INHERIT FALSE shows what the application sees"
    )


def _rounded(percentiles: Percentiles) -> tuple[float, float, float]:
    return round(percentiles.p50, 2), round(percentiles.p95, 2), round(percentiles.p99, 2)


def _plans(verdicts: Iterable[ScreenResult]) -> dict[str, dg.MetadataValue]:
    return {
        f"plan of {slow.query}": dg.MetadataValue.md(
            f"{slow.took_ms:.1f} ms at worst; {slow.finding.words}\n\n"
            f"```json\n{slow.plan.document}\n```"
        )
        for verdict in verdicts
        for slow in verdict.slow
    }


def _latency_check(verdicts: Sequence[ScreenResult]) -> dg.AssetCheckResult:
    missed = [verdict for verdict in verdicts if not verdict.met]
    return dg.AssetCheckResult(
        check_name="latency_within_targets",
        passed=not missed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(verdict.words for verdict in missed or verdicts),
        metadata={
            f"{verdict.screen.name}, p95 (ms)": round(verdict.percentiles.p95, 2)
            for verdict in verdicts
        },
    )
