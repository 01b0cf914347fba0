"""Sensors that tell somebody: failed runs, failed checks, late schedules; and the heartbeat.

What was told is kept in Dagster's own storage, not in the application's database: that database
being down is the first thing to tell. It is noted after each alert, so that one is told twice only
if the daemon dies between sending and noting.
"""

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from ft_ops.alerting import news
from ft_ops.alerting.channels import Channel, alert_channels, call_heartbeat
from ft_ops.alerting.messages import known_secrets
from ft_ops.alerting.sent_log import News, Refusal, Told, forget_refusal, refusals, tell
from ft_ops.clock import MOST_CLOCK_SKEW, other_clock, utc_now
from ft_ops.errors import OpsError
from ft_ops.orchestration.check_states import CheckState, check_states
from ft_ops.orchestration.deadlines import Late, late_schedules
from ft_ops.orchestration.failed_runs import (
    records_of_failures,
    run_failure,
    succeeded_since,
)
from ft_ops.orchestration.internals import RemoteRepositoryOrigin, RepositoryDefinition
from ft_ops.orchestration.resources import as_failure
from ft_ops.orchestration.runbook import Jobs
from ft_ops.orchestration.upkeep.condition import daemons_are_doubled
from ft_ops.orchestration.upkeep.storage_clock import storage_time
from ft_ops.settings import Settings
from ft_ops.standing import Status

_LOOK_BACK: Final = timedelta(days=7)
"""Failures that no channel took for so long are not told any more."""
_MOST_RUNS: Final = 100
"""Runs that one tick looks into: each costs some requests, and a tick has a minute."""
_UNSEEN: Final = timedelta(minutes=15)
"""How long the daemon may take to see a schedule: on its first start it looks at one after the
other."""

_KEY: Final = "ft-ops alerts: {}"
_SENSORS: Final = ("runs", "checks", "schedules")

_NO_CHANNEL: Final = "no channel is set: FT_ALERT_WEBHOOK_URL, FT_ALERT_EMAIL_TO or another"


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of each failed run, once. The same failure of the same job and partition "
    "is told again only after FT_ALERT_REPEAT_HOURS, or when a run succeeded in between.",
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
        teller = _Teller(context, settings, "runs", channels, now)
        jobs = _jobs(_repository(context))
        since = _told_from(datetime.fromisoformat(context.cursor), now)
        records = records_of_failures(context.instance, since)
        records.sort(key=lambda record: record.update_timestamp)
        fresh = []
        for run in teller.untold([record.dagster_run for record in records])[:_MOST_RUNS]:
            item = news.of_failed_run(settings, run_failure(context.instance, run, jobs))
            teller.forget_what_healed(context.instance, run, item)
            fresh.append(item)
        teller.tell(fresh)
        return teller.said()


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells when a check begins to fail, when it becomes an error, when it passes "
    "again, and when a run ended without evaluating it. What lasts is told again after "
    "FT_ALERT_REPEAT_HOURS.",
)
def alert_on_failed_checks(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """Look at the last evaluation of every check."""
    with as_failure():
        channels = alert_channels(settings)
        if not channels:
            return dg.SkipReason(_NO_CHANNEL)
        teller = _Teller(context, settings, "checks", channels, utc_now())
        states = check_states(context.instance, _repository(context).asset_graph.asset_check_keys)
        teller.tell(
            news.of_failed_check(settings, state)
            for state in states
            if state.status in {Status.WARNING, Status.BAD} and not state.crashed
        )
        teller.tell(news.of_crashed_evaluations(settings, states))
        for state in states:
            if state.status == Status.GOOD:
                teller.tell_recovery(state)
        teller.tell_evaluated_again(states)
        return teller.said()


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Calls FT_HEARTBEAT_URL while everything scheduled was done in time and alerts "
    "arrive, and tells of what was not. Whoever watches that address raises the alarm when the "
    "calls stop, also when this daemon is what stopped.",
)
def heartbeat(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.SkipReason:
    """Look at every schedule's last tick that was due and its runs, and at the channels."""
    with as_failure():
        now = utc_now()
        late = _without_unseen(context, _late_schedules(context, now), now)
        teller = _Teller(context, settings, "schedules", alert_channels(settings), now)
        teller.tell(news.of_late_schedule(settings, item) for item in late)
        are_doubled = daemons_are_doubled(context.instance)
        if are_doubled:
            teller.tell([news.of_doubled_daemons(settings, now)])
        deaf = teller.deaf_channels()
        hearing = [channel for channel in teller.channels if channel.name not in deaf]
        teller.tell(
            (news.of_refusing_channel(settings, name, refusal) for name, refusal in deaf.items()),
            hearing,
        )
        silent = [item.words for item in late]
        if are_doubled:
            silent.append("more than one Dagster daemon runs")
        if deaf and not hearing:
            silent += [
                f"alerts by {name} have not arrived since {refusal.since:%Y-%m-%d %H:%M} UTC"
                for name, refusal in deaf.items()
            ]
        if silent:
            return dg.SkipReason("no heartbeat: " + "; ".join(silent))
        if settings.heartbeat_url is None:
            return dg.SkipReason("everything is on time; FT_HEARTBEAT_URL is not set")
        call_heartbeat(settings.heartbeat_url.get_secret_value())
    return dg.SkipReason("everything is on time; heartbeat sent")


class _Teller:
    """What one tick of a sensor tells, under what it told before."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        settings: Settings,
        what: str,
        channels: list[Channel],
        now: datetime,
    ) -> None:
        self.settings, self.channels, self.now = settings, channels, now
        self.store = context.instance.daemon_cursor_storage
        self.told = Told(self.store, _KEY.format(what))
        # A clock that is ahead would forget what no channel took yet.
        if other_clock(now, storage_time(context.instance)) is None:
            self.told.forget_events_before(now - 2 * _LOOK_BACK)
        self.sent = 0
        self.failure: OpsError | None = None

    def tell(self, items: Iterable[News], channels: list[Channel] | None = None) -> None:
        """Tell what was not told yet; a channel that fails keeps nothing else from being told."""
        settings = self.settings
        try:
            self.sent += tell(
                items,
                self.channels if channels is None else channels,
                self.told,
                repeat_after=timedelta(hours=settings.alert_repeat_hours),
                secrets=known_secrets(settings, os.environ.items()),
                now=self.now,
            )
        except OpsError as error:
            self.failure = self.failure or error

    def untold(self, runs: Sequence[dg.DagsterRun]) -> list[dg.DagsterRun]:
        """Those that not every channel was told of; first those that none was told of.

        Else many that one channel refuses would keep newer ones from all the others.
        """
        counts = [
            sum(self.told.event(channel, run.run_id) for channel in self.channels) for run in runs
        ]
        found = [run for run, count in zip(runs, counts, strict=True) if count == 0]
        return found + [
            run for run, count in zip(runs, counts, strict=True) if 0 < count < len(self.channels)
        ]

    def said(self) -> dg.SkipReason:
        """How many were sent; the OpsError of the first channel that took none."""
        if self.failure is not None:
            raise self.failure
        return dg.SkipReason(f"{self.sent} alerts sent")

    def forget_what_healed(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, item: News
    ) -> None:
        """A failure that was told, and has succeeded since, is told again when it comes again."""
        for channel in self.channels:
            at = self.told.identity(channel, item.alert.identity)
            if at is not None and succeeded_since(instance, run, datetime.fromtimestamp(at, UTC)):
                self.told.forget(channel, [item.alert.identity])

    def tell_recovery(self, state: CheckState) -> None:
        """Tell those who were told of the failure that it is over; the next one is told again."""
        failing = news.failing_identities(state)
        for channel in self.channels:
            if any(self.told.identity(channel, identity) is not None for identity in failing):
                item = news.of_recovered_check(self.settings, state)
                self.tell([item], [channel])
                self.told.forget(channel, [*failing, item.alert.identity])

    def tell_evaluated_again(self, states: Iterable[CheckState]) -> None:
        """Tell those who were told that nobody knows, once everything is known again."""
        crashed = {
            item.alert.identity for item in news.of_crashed_evaluations(self.settings, states)
        }
        for channel in self.channels:
            for identity in self.told.told_identities(channel):
                job = news.job_of_crashed_identity(identity)
                if job is not None and identity not in crashed:
                    event = f"{identity} {self.now.isoformat()}"
                    item = news.of_evaluated_again(self.settings, job, event)
                    self.tell([item], [channel])
                    self.told.forget(channel, [identity, item.alert.identity])

    def deaf_channels(self) -> dict[str, Refusal]:
        """The channels that took nothing when last tried, while something waits for them."""
        found = {}
        for channel in self.channels:
            refusal = refusals(self.store).get(channel.name)
            if refusal is None:
                continue
            if any(Told(self.store, _KEY.format(what)).waiting(channel) for what in _SENSORS):
                found[channel.name] = refusal
            else:
                # Nothing is left to try it with: it is not known any more.
                forget_refusal(self.store, channel.name)
        return found


def _told_from(first_tick: datetime, now: datetime) -> datetime:
    """From when failures are told. A first tick that a clock has dated ahead is none."""
    is_dated_wrongly = first_tick > now + MOST_CLOCK_SKEW
    return now - _LOOK_BACK if is_dated_wrongly else max(first_tick, now - _LOOK_BACK)


def _without_unseen(
    context: dg.SensorEvaluationContext, late: list[Late], now: datetime
) -> list[Late]:
    """Without schedules that the daemon has only just had time to see."""
    known: dict[str, float] = json.loads(context.cursor or "{}")
    unseen = {
        item.schedule: known.get(item.schedule, now.timestamp()) for item in late if item.is_unseen
    }
    context.update_cursor(json.dumps(unseen))
    recent = (now - _UNSEEN).timestamp()
    return [item for item in late if not item.is_unseen or unseen[item.schedule] <= recent]


def _late_schedules(context: dg.SensorEvaluationContext, now: datetime) -> list[Late]:
    repository = _repository(context)
    if context.code_location_origin is None:
        raise AssertionError("a sensor that the daemon evaluates knows its code location")
    origin = RemoteRepositoryOrigin(
        code_location_origin=context.code_location_origin, repository_name=repository.name
    )
    return late_schedules(context.instance, repository.schedule_defs, origin.get_selector_id(), now)


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
