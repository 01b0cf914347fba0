"""The overview, and the same figures for Prometheus."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.health.capacity import Outlook, outlook
from ft_ops.health.pictures import capacity_picture
from ft_ops.health.samples import Sample, latest_samples, write_samples
from ft_ops.orchestration.deadlines import late_schedules, schedules_of
from ft_ops.orchestration.internals import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.overview.content_lines import archive_lines, coverage_lines, storage_lines
from ft_ops.overview.health_lines import (
    Figures,
    capacity_lines,
    connection_lines,
    latency_lines,
)
from ft_ops.overview.lines import Line, Picture, Status, page
from ft_ops.overview.prometheus import push, registry_of, write_textfile
from ft_ops.overview.server_lines import backup_lines, bloat_lines, wraparound_lines
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings
from ft_ops.settings.links import runbook_link

_LATEST = timedelta(days=7)


def overview_of(assembled: Callable[[], dg.Definitions]) -> dg.AssetsDefinition:
    """The asset `overview` of the definitions of all rooms, which are given when it runs."""

    @dg.asset(
        deps=["query_latency", "capacity", "connections"],
        group_name="health",
        kinds={"markdown"},
        owners=OWNERS,
        description=(
            "The page for the morning: what needs somebody first, then what is in order. Months, "
            "archives, backups and drills, storage, maintenance, latency, capacity, failed checks "
            "and late schedules. Read it in this asset's metadata."
        ),
    )
    def overview(
        context: dg.AssetExecutionContext,
        database: DatabaseResource,
        settings: dg.ResourceParam[Settings],
    ) -> dg.MaterializeResult[None]:
        now = utc_now()
        with as_failure(), database.connect("overview") as connection:
            figures = {(s.metric, s.subject): s for s in latest_samples(connection, now - _LATEST)}
            ahead = outlook(connection, now)
            lines = [
                *_check_lines(context, assembled(), settings),
                *_schedule_lines(context, assembled(), settings, now),
                *_database_lines(connection, figures, ahead, settings, now),
            ]
            counts = {status: sum(line.status == status for line in lines) for status in Status}
            write_samples(
                connection,
                [Sample("overview_lines", s.name.lower(), n) for s, n in counts.items()],
                now,
            )
        pictures = [Picture("Size of the database", capacity_picture(ahead, _limit(settings)))]
        return dg.MaterializeResult(
            metadata={
                "overview": dg.MetadataValue.md(
                    page(lines, pictures if ahead.history else [], now)
                ),
                "red": counts[Status.BAD],
                "yellow": counts[Status.WARNING],
                "green": counts[Status.GOOD],
            }
        )

    return overview


@dg.asset(
    deps=["query_latency", "capacity", "connections", "overview"],
    group_name="health",
    kinds={"prometheus"},
    owners=OWNERS,
    description=(
        "The newest figures of ops.metric_samples for Prometheus: as a textfile where "
        "FT_METRICS_TEXTFILE is set, pushed where FT_METRICS_PUSHGATEWAY_URL is."
    ),
)
def exported_metrics(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    with as_failure():
        with database.connect("exported metrics") as connection:
            samples = latest_samples(connection, utc_now() - _LATEST)
        registry = registry_of(samples)
        ways = []
        if settings.metrics_textfile is not None:
            write_textfile(registry, settings.metrics_textfile)
            ways.append(str(settings.metrics_textfile))
        if settings.metrics_pushgateway_url is not None:
            push(registry, settings.metrics_pushgateway_url.get_secret_value())
            ways.append("the Pushgateway")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(samples),
            "exported to": ", ".join(ways) or "nowhere: neither variable is set",
            "figures": table(
                ["metric", "subject", "value", "taken at"],
                ((s.metric, s.subject, s.value, s.sampled_at.isoformat()) for s in samples),
            ),
        }
    )


def _database_lines(
    connection: Connection, figures: Figures, ahead: Outlook, settings: Settings, now: datetime
) -> Iterator[Line]:
    yield from coverage_lines(connection, settings, now)
    yield from archive_lines(connection, settings, now)
    yield from backup_lines(connection, settings, now)
    yield from storage_lines(connection, settings, now)
    yield from wraparound_lines(connection, settings)
    yield from bloat_lines(connection, settings, now)
    yield from latency_lines(connection, figures, settings, now)
    yield from capacity_lines(figures, ahead, settings, now)
    yield from connection_lines(figures, settings, now)


def _check_lines(
    context: dg.AssetExecutionContext, assembled: dg.Definitions, settings: Settings
) -> Iterator[Line]:
    """Every check whose last evaluation failed, and how many did not."""
    keys = sorted(assembled.resolve_asset_graph().asset_check_keys)
    records = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failed = [r for r in records.values() if r.status == AssetCheckExecutionRecordStatus.FAILED]
    for record in failed:
        yield _failed_check_line(record, runbook_link(settings, record.key.name))
    yield Line(
        "checks",
        Status.GOOD,
        "checks",
        f"{len(records)} of {len(keys)} evaluated",
        f"{len(records) - len(failed)} passed or are at work",
    )


def _failed_check_line(record: AssetCheckExecutionRecord, runbook: str) -> Line:
    event = record.event.dagster_event if record.event is not None else None
    evaluation = event.asset_check_evaluation_data if event is not None else None
    is_warning = evaluation is not None and evaluation.severity == dg.AssetCheckSeverity.WARN
    since = datetime.fromtimestamp(record.create_timestamp, UTC)
    return Line(
        "checks",
        Status.WARNING if is_warning else Status.BAD,
        f"{record.key.asset_key.to_user_string()}: {record.key.name}",
        f"failed {since:%Y-%m-%d %H:%M}",
        (evaluation.description if evaluation is not None else None) or "",
        runbook,
    )


def _schedule_lines(
    context: dg.AssetExecutionContext, assembled: dg.Definitions, settings: Settings, now: datetime
) -> Iterator[Line]:
    """Every schedule that is late. Only a run that the daemon launched knows its schedules."""
    origin = context.run.remote_job_origin
    runbook = runbook_link(settings, "heartbeat")
    if origin is None:
        yield Line("schedules", Status.UNKNOWN, "schedules", "not seen from here")
        return
    schedules = schedules_of(assembled)
    late = late_schedules(
        context.instance, schedules, origin.repository_origin.get_selector_id(), now
    )
    for item in late:
        yield Line(
            "schedules",
            Status.BAD,
            item.schedule,
            f"due {item.due_at:%Y-%m-%d %H:%M}",
            item.why,
            runbook,
        )
    yield Line("schedules", Status.GOOD, "schedules on time", str(len(schedules) - len(late)))


def _limit(settings: Settings) -> float | None:
    return settings.database_volume_gb * 1e9 if settings.database_volume_gb is not None else None
