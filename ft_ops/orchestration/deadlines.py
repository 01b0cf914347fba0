"""What is scheduled has a deadline: freshness policies from the crons, and what is late.

A schedule's work must be done within its allowance after each tick. Dagster's freshness policies
say so of the assets; ``late_schedules`` says it of ticks and runs, which also covers jobs that
only run checks, and schedules that somebody stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

import dagster as dg

from ft_ops.clock import MOST_CLOCK_SKEW
from ft_ops.errors import OpsError
from ft_ops.orchestration.failed_runs import count_of_successes, succeeded_later
from ft_ops.orchestration.internals import (
    InstigatorState,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    TickStatus,
    UnresolvedAssetJobDefinition,
    get_latest_completed_cron_tick,
    get_smallest_cron_interval,
)

_LONGEST_ALLOWANCE: Final = timedelta(hours=6)

ALLOWANCES: Final = {
    # A month of content takes hours to export, prove and freeze, and several may be due.
    "archive_old_content_monthly": timedelta(hours=24),
    "rebuild_bloated_indexes_weekly": timedelta(hours=12),
}
"""Schedules that may take longer than six hours."""

ONLY_WHEN_NEEDED: Final = frozenset({"finish_archives_daily", "purge_archived_content_daily"})
"""Schedules that ask for nothing on most days: their assets' age says nothing about health."""

_TICK_PATIENCE: Final = timedelta(minutes=10)
"""How long after its moment a tick may be evaluated."""

_ON_LATER: Final = (
    "a clock that was ahead switched it on for {:%Y-%m-%d %H:%M} UTC: stop it, and start it again"
)

_MINUTES_A_DAY: Final = 24 * 60
_SHORTEST_MONTH: Final = 28

_UNFINISHED: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
)


@dataclass(frozen=True, slots=True)
class Late:
    """A schedule whose work was not done in time. ``due_at`` is the tick that it missed.

    ``run_id`` is the run that failed or has not ended, where one was begun. ``is_unseen`` when the
    daemon has not looked at the schedule yet.
    """

    schedule: str
    job: str
    due_at: datetime
    why: str
    run_id: str | None = None
    is_unseen: bool = False

    @property
    def words(self) -> str:
        return f"{self.schedule}, due {self.due_at:%Y-%m-%d %H:%M} UTC: {self.why}"


def allowance(schedule: dg.ScheduleDefinition) -> timedelta:
    """How long after its tick a schedule's work may be done: at most half its interval."""
    if schedule.name in ALLOWANCES:
        return ALLOWANCES[schedule.name]
    half = _interval(_cron(schedule)) / 2
    return min(_LONGEST_ALLOWANCE, timedelta(minutes=half // timedelta(minutes=1)))


def deadline_cron(cron: str, later: timedelta) -> str:
    """The cron of moments ``later`` than those of ``cron``: at one minute, or in every hour.

    An OpsError when one cron expression can't say that: when only some of the moments fall on
    another day, or when they do and ``cron`` is about days of the week or the end of the month.
    """
    minute, hour_field, day, month, weekday = cron.split()
    shift = int(later.total_seconds()) // 60
    if minute.startswith("*/") and (hour_field, day, month, weekday) == ("*", "*", "*", "*"):
        minutes = sorted((start + shift) % 60 for start in range(0, 60, int(minute[2:])))
        return f"{','.join(map(str, minutes))} * * * *"
    moments = [hour * 60 + int(minute) + shift for hour in _hours(hour_field)]
    days_later = {moment // _MINUTES_A_DAY for moment in moments}
    if days_later != {0} and (day, month, weekday) != ("*", "*", "*"):
        if len(days_later) > 1 or weekday != "*" or int(day) + max(days_later) > _SHORTEST_MONTH:
            raise OpsError(
                f"deadline of the cron {cron!r}",
                cause=f"no single cron expression means {later} later",
                next_step="give the schedule a smaller allowance",
            )
        day = str(int(day) + max(days_later))
    hours = sorted({moment // 60 % 24 for moment in moments})
    hour_field = "*" if len(hours) == 24 else ",".join(str(hour) for hour in hours)
    return f"{moments[0] % 60} {hour_field} {day} {month} {weekday}"


def with_deadlines(definitions: dg.Definitions) -> dg.Definitions:
    """The same definitions, with the freshness that each schedule means for its assets.

    An asset that several schedules materialize takes that of the most frequent one.
    """
    assets = [item for item in definitions.assets or () if isinstance(item, dg.AssetsDefinition)]
    policies: dict[dg.AssetKey, dg.FreshnessPolicy] = {}
    schedules = [s for s in schedules_of(definitions) if s.name not in ONLY_WHEN_NEEDED]
    for schedule in sorted(schedules, key=lambda s: _interval(_cron(s))):
        allowed = allowance(schedule)
        policy = dg.FreshnessPolicy.cron(
            deadline_cron(_cron(schedule), allowed), lower_bound_delta=allowed, timezone="UTC"
        )
        for key in scheduled_assets(schedule, assets):
            policies.setdefault(key, policy)

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.key not in policies:
            return spec
        return spec.replace_attributes(freshness_policy=policies[spec.key])

    return dg.Definitions(
        assets=dg.map_asset_specs(with_policy, assets),
        asset_checks=definitions.asset_checks,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        jobs=definitions.jobs,
        resources=definitions.resources,
        executor=definitions.executor,
        loggers=definitions.loggers,
    )


def schedules_of(definitions: dg.Definitions) -> list[dg.ScheduleDefinition]:
    """The schedules that have a cron."""
    return [s for s in definitions.schedules or () if isinstance(s, dg.ScheduleDefinition)]


def scheduled_assets(
    schedule: dg.ScheduleDefinition, assets: Sequence[dg.AssetsDefinition]
) -> frozenset[dg.AssetKey]:
    """The assets that a schedule's job materializes; none for a job of checks."""
    job = schedule.job
    if not isinstance(job, UnresolvedAssetJobDefinition):
        return frozenset()
    return frozenset(job.selection.resolve(assets))


def late_schedules(
    instance: dg.DagsterInstance,
    schedules: Iterable[dg.ScheduleDefinition],
    repository_selector_id: str,
    now: datetime,
    *,
    at_once: bool = False,
) -> list[Late]:
    """The schedules whose last tick that was due by ``now`` did not end well in time.

    With ``at_once``, a tick that is missing or failed, and a run that failed, count without
    waiting for the end of their time: whoever reads a page this morning wants to know of them.

    On time is a tick that asked for nothing, or whose runs all succeeded; a failed run is made
    good by a later success of the same job on the same partition, a run that was removed by one of
    the same job. A stopped schedule is late.
    """
    states = {
        state.name: state
        for state in instance.all_instigator_state(
            repository_selector_id=repository_selector_id, instigator_type=InstigatorType.SCHEDULE
        )
    }
    found = []
    for schedule in schedules:
        allowed = allowance(schedule)
        patiences = [min(allowed, _TICK_PATIENCE), allowed] if at_once else [allowed]
        for patience in patiences:
            due = get_latest_completed_cron_tick(_cron(schedule), now - patience, "UTC")
            why = _why_late(instance, states.get(schedule.name), schedule.job_name, due, now)
            if why is not None and not (why.is_at_work and patience < allowed):
                found.append(
                    Late(
                        schedule.name,
                        schedule.job_name,
                        due.astimezone(UTC),
                        why.words,
                        why.run_id,
                        why.is_unseen,
                    )
                )
                break
    return found


@dataclass(frozen=True, slots=True)
class _Why:
    """Why a tick's work is not done. ``is_at_work`` may still be done in time."""

    words: str
    run_id: str | None = None
    is_at_work: bool = False
    is_unseen: bool = False


def _why_late(
    instance: dg.DagsterInstance,
    state: InstigatorState | None,
    job: str,
    due: datetime,
    now: datetime,
) -> _Why | None:
    if state is None:
        words = "the scheduler has not seen it yet: is the Dagster daemon running?"
        return _Why(words, is_unseen=True)
    if not state.is_running:
        return _Why("it is stopped")
    data = state.instigator_data
    started = data.start_timestamp if isinstance(data, ScheduleInstigatorData) else None
    if started is not None and started > due.timestamp():
        is_dated_wrongly = started > (now + MOST_CLOCK_SKEW).timestamp()
        return (
            _Why(_ON_LATER.format(datetime.fromtimestamp(started, UTC)))
            if is_dated_wrongly
            else None
        )
    tick = _tick_at(instance, state, due)
    if tick is None:
        return _Why("it did not tick: was the daemon down?")
    return _why_tick_is_late(instance, tick, job)


def _why_tick_is_late(instance: dg.DagsterInstance, tick: InstigatorTick, job: str) -> _Why | None:
    if tick.status == TickStatus.SKIPPED:
        return None
    if tick.status != TickStatus.SUCCESS:
        return _Why(f"its tick is {tick.status.value}")
    records = {run_id: instance.get_run_record_by_id(run_id) for run_id in tick.run_ids}
    known = [record for record in records.values() if record is not None]
    late = next(filter(None, (_why_run_is_late(instance, record) for record in known)), None)
    removed = [run_id for run_id, record in records.items() if record is None]
    if late is not None or not removed:
        return late
    return _why_removed_runs_are_late(instance, tick, job, removed)


def _why_removed_runs_are_late(
    instance: dg.DagsterInstance, tick: InstigatorTick, job: str, removed: Sequence[str]
) -> _Why | None:
    """Nobody knows how a removed run ended, nor on which partition: as many others make it good."""
    began = datetime.fromtimestamp(tick.timestamp, UTC)
    if count_of_successes(instance, job, began, but=tick.run_ids) >= len(removed):
        return None
    return _Why(
        f"its run {removed[0]} was removed, and how it ended is not known: launch {job} again",
        removed[0],
    )


def _tick_at(
    instance: dg.DagsterInstance, state: InstigatorState, due: datetime
) -> InstigatorTick | None:
    moment = due.timestamp()
    ticks = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, after=moment - 1, before=moment + 1
    )
    return next((tick for tick in ticks if tick.timestamp == moment), None)


def _why_run_is_late(instance: dg.DagsterInstance, record: dg.RunRecord) -> _Why | None:
    run = record.dagster_run
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return None
    if run.status in _UNFINISHED:
        words = f"its run {run.run_id} is still {run.status.value.lower()}"
        return _Why(words, run.run_id, True)
    if succeeded_later(instance, record):
        return None
    return _Why(f"its run {run.run_id} is {run.status.value.lower()}", run.run_id)


def _cron(schedule: dg.ScheduleDefinition) -> str:
    cron = schedule.cron_schedule
    if not isinstance(cron, str):
        raise OpsError(
            f"schedule {schedule.name}",
            cause="it has several crons, whose deadlines are not defined",
            next_step="split it into several schedules",
        )
    return cron


@cache
def _interval(cron: str) -> timedelta:
    """The shortest time between two ticks, which Dagster finds by counting through years."""
    return get_smallest_cron_interval(cron)


def _hours(field: str) -> list[int]:
    if field == "*":
        return list(range(24))
    if field.startswith("*/"):
        return list(range(0, 24, int(field[2:])))
    return [int(hour) for hour in field.split(",")]
