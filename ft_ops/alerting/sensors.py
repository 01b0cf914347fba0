"""Sensors that tell somebody: failed runs, failed checks, late schedules; and the heartbeat.

What was told is kept in Dagster's own storage, not in the application's database: that database
being down is the first thing to tell. It is noted after each alert, so that one is told twice only
if the daemon dies between sending and noting.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from ft_ops.alerting import (
    Alert,
    Channel,
    Level,
    News,
    Told,
    alert_channels,
    call_heartbeat,
    known_secrets,
    tell,
)
from ft_ops.clock import utc_now
from ft_ops.orchestration.deadlines import Late, late_schedules
from ft_ops.orchestration.failed_runs import name_of_run, section_of_run
from ft_ops.orchestration.internals import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    RemoteRepositoryOrigin,
    RepositoryDefinition,
)
from ft_ops.orchestration.resources import as_failure
from ft_ops.orchestration.runbook import Jobs
from ft_ops.settings import Settings, run_link, runbook_link

_LOOK_BACK = timedelta(days=7)
"""Failures that no channel took for so long are not told any more."""

_NO_CHANNEL = "neither FT_ALERT_WEBHOOK_URL nor FT_ALERT_EMAIL_TO is set"


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of each failed run, once. The same failure of the same job and partition "
    "is told again only after FT_ALERT_REPEAT_HOURS.",
)
def alert_on_failed_runs(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """Look at the runs that have failed since the first tick, a week back at most."""
    with as_failure():
        channels = alert_channels(settings)
        if not channels:
            return dg.SkipReason(_NO_CHANNEL)
        now = utc_now()
        if context.cursor is None:
            context.update_cursor(now.isoformat())
            return dg.SkipReason(f"failures from {now:%Y-%m-%d %H:%M:%S} UTC on are told")
        told = _told(context, "runs", now)
        records = context.instance.get_run_records(
            dg.RunsFilter(
                statuses=[dg.DagsterRunStatus.FAILURE],
                updated_after=max(datetime.fromisoformat(context.cursor), now - _LOOK_BACK),
            ),
            order_by="update_timestamp",
            ascending=True,
        )
        runs = [record.dagster_run for record in records]
        news = [
            _failed_run(context, settings, run)
            for run in runs
            if not all(told.event(channel, run.run_id) for channel in channels)
        ]
        sent = _tell(news, channels, told, settings, now)
    return dg.SkipReason(f"{sent} alerts sent")


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells when a check begins to fail, when it becomes an error, and when it passes "
    "again. One that keeps failing is told again after FT_ALERT_REPEAT_HOURS.",
)
def alert_on_failed_checks(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """Look at the last evaluation of every check."""
    with as_failure():
        channels = alert_channels(settings)
        if not channels:
            return dg.SkipReason(_NO_CHANNEL)
        now = utc_now()
        told = _told(context, "checks", now)
        keys = sorted(_repository(context).asset_graph.asset_check_keys)
        records = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        news = [
            _failed_check(settings, record)
            for record in records.values()
            if record.status == AssetCheckExecutionRecordStatus.FAILED
        ]
        sent = _tell(news, channels, told, settings, now)
        for record in records.values():
            if record.status == AssetCheckExecutionRecordStatus.SUCCEEDED:
                sent += _tell_recovery(settings, record, channels, told, now)
    return dg.SkipReason(f"{sent} alerts sent")


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Calls FT_HEARTBEAT_URL while everything scheduled was done in time, and tells of "
    "what was not. Whoever watches that address raises the alarm when the calls stop, also when "
    "this daemon is what stopped.",
)
def heartbeat(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """Look at every schedule's last tick that was due, and at its runs."""
    with as_failure():
        now = utc_now()
        late = _late_schedules(context, now)
        if late:
            news = [_late(settings, item) for item in late]
            _tell(news, alert_channels(settings), _told(context, "schedules", now), settings, now)
            return dg.SkipReason("no heartbeat: " + "; ".join(item.words for item in late))
        if settings.heartbeat_url is None:
            return dg.SkipReason("everything is on time; FT_HEARTBEAT_URL is not set")
        call_heartbeat(settings.heartbeat_url.get_secret_value())
    return dg.SkipReason("everything is on time; heartbeat sent")


def _told(context: dg.SensorEvaluationContext, what: str, now: datetime) -> Told:
    told = Told(context.instance.daemon_cursor_storage, f"ft-ops alerts: {what}")
    told.forget_events_before(now - 2 * _LOOK_BACK)
    return told


def _tell(
    news: Iterable[News],
    channels: Collection[Channel],
    told: Told,
    settings: Settings,
    now: datetime,
) -> int:
    return tell(
        news,
        channels,
        told,
        repeat_after=timedelta(hours=settings.alert_repeat_hours),
        secrets=known_secrets(settings, os.environ.items()),
        now=now,
    )


def _late_schedules(context: dg.SensorEvaluationContext, now: datetime) -> list[Late]:
    repository = _repository(context)
    if context.code_location_origin is None:
        raise AssertionError("a sensor that the daemon evaluates knows its code location")
    origin = RemoteRepositoryOrigin(
        code_location_origin=context.code_location_origin, repository_name=repository.name
    )
    return late_schedules(context.instance, repository.schedule_defs, origin.get_selector_id(), now)


def _failed_run(
    context: dg.SensorEvaluationContext, settings: Settings, run: dg.DagsterRun
) -> News:
    cause = "; ".join(_causes(context.instance, run.run_id)) or "it failed outside of its steps"
    name = name_of_run(run)
    partition = run.tags.get("dagster/partition")
    what = f"{name} for {partition}" if partition else name
    alert = Alert(
        # The first words name what failed; what follows may hold numbers that vary.
        identity=f"run {what}: {cause[:80]}",
        level="error",
        title=f"{what} failed",
        detail=cause,
        link=run_link(settings, run.run_id),
        runbook=runbook_link(settings, section_of_run(run, _jobs(_repository(context)))),
    )
    return News(alert, run.run_id)


def _causes(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    """What the run's failed steps, or else the run itself, say. No stack traces."""
    for event_type in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        causes = [
            _cause(record.event_log_entry.dagster_event)
            for record in instance.get_records_for_run(run_id, of_type=event_type).records
        ]
        yield from filter(None, causes)
        if any(causes):
            return


def _cause(event: dg.DagsterEvent | None) -> str | None:
    if event is None:
        return None
    if not event.is_step_failure:
        return event.message
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    if data.error is None:
        return event.message
    return (data.error.cause or data.error).message.strip()


def _failed_check(settings: Settings, record: AssetCheckExecutionRecord) -> News:
    event = record.event.dagster_event if record.event is not None else None
    evaluation = event.asset_check_evaluation_data if event is not None else None
    is_warning = evaluation is not None and evaluation.severity == dg.AssetCheckSeverity.WARN
    detail = evaluation.description if evaluation is not None else None
    alert = _check_alert(
        settings, record, "warning" if is_warning else "error", detail or "no description"
    )
    return News(alert, f"evaluation {record.id}")


def _tell_recovery(
    settings: Settings,
    record: AssetCheckExecutionRecord,
    channels: Iterable[Channel],
    told: Told,
    now: datetime,
) -> int:
    """Tell those who were told of the failure that it is over, and let the next one be told."""
    sent = 0
    failing = [_check_identity(record, "error"), _check_identity(record, "warning")]
    for channel in channels:
        if any(told.identity(channel, identity) is not None for identity in failing):
            alert = _check_alert(settings, record, "recovered", "it passes again")
            sent += _tell([News(alert, f"evaluation {record.id}")], [channel], told, settings, now)
            told.forget(channel, [*failing, alert.identity])
    return sent


def _check_alert(
    settings: Settings,
    record: AssetCheckExecutionRecord,
    level: Level,
    detail: str,
) -> Alert:
    asset = record.key.asset_key
    says = "passes again" if level == "recovered" else "fails"
    return Alert(
        identity=_check_identity(record, level),
        level=level,
        title=f"check {record.key.name} of {asset.to_user_string()} {says}",
        detail=detail,
        link=run_link(settings, record.run_id),
        runbook=runbook_link(settings, record.key.name),
    )


def _check_identity(record: AssetCheckExecutionRecord, level: Level) -> str:
    return f"check {record.key.asset_key.to_user_string()} {record.key.name} {level}"


def _late(settings: Settings, item: Late) -> News:
    alert = Alert(
        identity=f"late {item.schedule}",
        level="error",
        title=f"{item.schedule} is late",
        detail=item.words,
        link=f"{settings.dagster_url.rstrip('/')}/automation" if settings.dagster_url else None,
        runbook=runbook_link(settings, "heartbeat"),
    )
    return News(alert, f"late {item.schedule} {item.due_at.astimezone(UTC).isoformat()}")


def _repository(context: dg.SensorEvaluationContext) -> RepositoryDefinition:
    if context.repository_def is None:
        raise AssertionError("a sensor of a code location knows its repository")
    return context.repository_def


def _jobs(repository: RepositoryDefinition) -> Jobs:
    return {
        name: repository.get_job(name).asset_layer.selected_asset_keys
        for name in repository.job_names
        if not name.startswith("__")
    }


defs = dg.Definitions(sensors=[alert_on_failed_runs, alert_on_failed_checks, heartbeat])
