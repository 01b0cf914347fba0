"""The sensors that end dead runs and send spans, and the job that removes old events."""

from datetime import timedelta

import dagster as dg

from ft_ops.clock import refuse_other_clock, utc_now
from ft_ops.orchestration.jobs import op_job, schedule
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.orchestration.upkeep.alive import database_of_run, silent_runs
from ft_ops.orchestration.upkeep.dead_runs import (
    end_dead_runs_of,
    silences_from_json,
    silences_to_json,
)
from ft_ops.orchestration.upkeep.event_log import prune
from ft_ops.orchestration.upkeep.run_spans import export_ended_runs
from ft_ops.orchestration.upkeep.storage_clock import storage_time
from ft_ops.settings import Settings
from ft_ops.spans import endpoint_variable


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends a run whose process is gone, within some four minutes, and frees the slots "
    "of its pools: nothing else notices it where runs are processes of the code server.",
)
def end_dead_runs(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """Look for the lock that every run's process holds."""
    with as_failure(), database.connect("dead runs") as connection:
        ended, silent = end_dead_runs_of(
            context.instance,
            lambda runs: silent_runs(connection, runs),
            silences_from_json(context.cursor),
            utc_now().timestamp(),
            database_of_run(connection),
        )
    context.update_cursor(silences_to_json(silent))
    return dg.SkipReason(f"{len(ended)} runs ended, {len(silent)} are silent")


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a span of each run that ended, and of each of its steps, to the collector "
    "of OpenTelemetry that OTEL_EXPORTER_OTLP_ENDPOINT names. The statements' spans come from the "
    "runs themselves.",
)
def export_spans(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look at the runs that have ended since the last tick, a day back at most."""
    variable = endpoint_variable()
    if variable is None:
        return dg.SkipReason("no collector: OTEL_EXPORTER_OTLP_ENDPOINT is not set")
    with as_failure():
        sent, cursor = export_ended_runs(
            context.instance, variable, context.cursor, utc_now().timestamp()
        )
    context.update_cursor(cursor)
    return dg.SkipReason(f"{sent} runs told")


@dg.op(
    description="Removes events older than FT_EVENT_LOG_KEEP_DAYS from Dagster's own storage, but "
    "for what the pages of assets and checks show."
)
def remove_old_events(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Prune, and say how much went."""
    now = utc_now()
    before = now - timedelta(days=settings.event_log_keep_days)
    with as_failure():
        server = storage_time(context.instance)
        refuse_other_clock("removal of old events", now, server, of="Dagster's database server's")
        pruned = prune(context.instance, before, log=context.log.info)
    context.add_output_metadata(
        {
            "older than": dg.MetadataValue.timestamp(before),
            "events": pruned.events if pruned else 0,
            "evaluations of checks": pruned.evaluations if pruned else 0,
            **({} if pruned else {"nothing done": "this storage is not PostgreSQL's"}),
        }
    )


@op_job("Removes old events from Dagster's own storage.")
def prune_event_logs() -> None:
    """One step."""
    remove_old_events()


prune_event_logs_daily = schedule("prune_event_logs_daily", prune_event_logs, "15 9 * * *")

defs = dg.Definitions(
    jobs=[prune_event_logs],
    schedules=[prune_event_logs_daily],
    sensors=[end_dead_runs, export_spans],
)
