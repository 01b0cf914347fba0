"""Runs that failed and have not succeeded since, and what to call them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from ft_ops.orchestration.dry_run import configs_of_steps, only_looks
from ft_ops.orchestration.internals import (
    PARTITION_TAG,
    JobFailureData,
    SerializableErrorInfo,
    StepEventStatus,
    partition_range,
)
from ft_ops.orchestration.runbook import Jobs, job_of_asset

_MOST_RUNS: Final = 1000
_TOO_LONG: Final = "exceeding maximum runtime"
"""What Dagster's monitor says when it cancels a run."""
_JOB_OF_ANY_ASSET: Final = "__ASSET_JOB"
_ASKED_BY_ITSELF: Final = frozenset({"dagster/schedule_name", "dagster/sensor_name"})
"""The tags of a run that nobody launched."""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """The newest failure of a job, or of a selection of assets, on one partition."""

    run: dg.DagsterRun
    ended_at: datetime

    @property
    def name(self) -> str:
        partition = partition_of(self.run)
        return f"{name_of_run(self.run)} for {partition}" if partition else name_of_run(self.run)


@dataclass(frozen=True, slots=True)
class RunFailure:
    """What there is to tell of one run that failed.

    ``causes`` are what its steps say, without stack traces; ``section`` is the runbook's.
    """

    run_id: str
    name: str
    partition: str | None
    causes: tuple[str, ...]
    section: str


def run_failure(instance: dg.DagsterInstance, run: dg.DagsterRun, jobs: Jobs) -> RunFailure:
    """The failure of a run, by what its steps say of it."""
    return RunFailure(
        run.run_id,
        name_of_run(run),
        partition_of(run),
        tuple(_causes(instance, run.run_id)),
        section_of_run(run, jobs),
    )


def failed_runs(instance: dg.DagsterInstance, since: datetime) -> list[FailedRun]:
    """Failures that ended since a moment, the newest first, each kind of run once.

    A later success of the same job cancels a failure, on the same assets and months, unless it was
    a dry run; of what a schedule or a sensor asked for, one with the same configuration.
    """
    return list(_failed(instance, since))


def records_of_failures(
    instance: dg.DagsterInstance, since: datetime, limit: int | None = None
) -> list[dg.RunRecord]:
    """The newest runs that failed, or took too long, and have changed since a moment.

    Dagster cancels what takes longer than its last bound, and then lets it fail. The run's own
    process may have the last word between the two: then the run is cancelled, as if by somebody.
    """
    failed, cancelled = (
        instance.get_run_records(
            dg.RunsFilter(statuses=[status], updated_after=since),
            order_by="update_timestamp",
            limit=limit,
        )
        for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    )
    return [*failed, *(record for record in cancelled if _took_too_long(instance, record))]


def _took_too_long(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    if record.start_time is None:
        return False
    told = instance.get_records_for_run(
        record.dagster_run.run_id, of_type=dg.DagsterEventType.RUN_CANCELING
    ).records
    return any(_TOO_LONG in record.event_log_entry.message for record in told)


def partition_of(run: dg.DagsterRun) -> str | None:
    """The month of a run, or its first and its last; None for one that names none."""
    first, last = _months(run)
    return first if first == last else f"{first} to {last}"


def name_of_run(run: dg.DagsterRun) -> str:
    """The job, or for a run that was launched on assets or checks, the first of them."""
    if not run.job_name.startswith("__"):
        return run.job_name
    assets = {key.to_user_string() for key in run.asset_selection or ()}
    checks = {check.name for check in run.asset_check_selection or ()}
    return min(assets or checks, default=run.job_name)


def section_of_run(run: dg.DagsterRun, jobs: Jobs) -> str:
    """The runbook's section: the job's, that of the job which makes the asset, or the check's."""
    name = name_of_run(run)
    key = dg.AssetKey.from_user_string(name)
    if key not in (run.asset_selection or ()):
        return name
    return job_of_asset(key, jobs) or name


def succeeded_later(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether the same job, asked for the same, succeeded later."""
    return succeeded_since(instance, record.dagster_run, record.create_timestamp)


def succeeded_since(instance: dg.DagsterInstance, run: dg.DagsterRun, moment: datetime) -> bool:
    """Whether a run that was asked for the same was created after a moment, and succeeded."""
    # Whoever materializes the asset from its own page launches no run of the job.
    return any(
        _makes_good(instance, other, run)
        for job in dict.fromkeys((run.job_name, _JOB_OF_ANY_ASSET))
        for tags in _tags_of_months(run)
        for other in instance.get_runs(
            dg.RunsFilter(
                job_name=job,
                statuses=[dg.DagsterRunStatus.SUCCESS],
                tags=tags,
                created_after=moment,
            ),
            limit=_MOST_RUNS,
        )
    )


def count_of_successes(
    instance: dg.DagsterInstance, job: str, moment: datetime, *, but: Collection[str]
) -> int:
    """On how many selections and partitions a job succeeded since a moment, some runs left out."""
    later = instance.get_runs(
        dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=moment),
        limit=_MOST_RUNS,
    )
    counted = [run for run in later if run.run_id not in but and not only_looks(run)]
    return len({_kind(run) for run in counted})


def _failed(instance: dg.DagsterInstance, since: datetime) -> Iterator[FailedRun]:
    records = records_of_failures(instance, since, _MOST_RUNS)
    told = set()
    for record in sorted(records, key=lambda record: -(record.end_time or 0.0)):
        run = record.dagster_run
        if _kind(run) in told or succeeded_later(instance, record):
            continue
        told.add(_kind(run))
        ended_at = record.end_time or record.update_timestamp.timestamp()
        yield FailedRun(run, datetime.fromtimestamp(ended_at, UTC))


def _kind(run: dg.DagsterRun) -> tuple[object, ...]:
    """Equal for two runs that were asked for the same."""
    return (*_subject(run), _months(run), json.dumps(configs_of_steps(run), sort_keys=True))


def _subject(run: dg.DagsterRun) -> tuple[object, ...]:
    return (
        run.job_name,
        run.asset_selection,
        run.asset_check_selection,
    )


def _months(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """The first and the last month of a run: a backfill gives one as a range from it to it."""
    first, last = (run.tags.get(tag) for tag in partition_range("", ""))
    month = run.tags.get(PARTITION_TAG)
    return first or month, last or month


def _tags_of_months(run: dg.DagsterRun) -> list[Mapping[str, str]]:
    """By which tags to look for runs over the months of ``run``: all, where there are few."""
    first, last = _months(run)
    if first is None or last is None or first != last:
        return [{}]
    return [{PARTITION_TAG: first}, partition_range(first, last), {}]


def _makes_good(instance: dg.DagsterInstance, later: dg.DagsterRun, run: dg.DagsterRun) -> bool:
    """Whether a success of ``later`` cancels the failure of ``run``: it was asked for no less.

    One that was launched by hand may have been a dry run, over fewer months, or for one table.
    """
    return (
        _does_the_months_of(later, run)
        and _is_configured_as(later, run)
        and _does_the_steps_of(instance, later, run)
    )


def _does_the_months_of(later: dg.DagsterRun, run: dg.DagsterRun) -> bool:
    (first, last), (later_first, later_last) = _months(run), _months(later)
    if first and last and later_first and later_last:
        return later_first <= first and last <= later_last
    return (first, last) == (later_first, later_last)


def _is_configured_as(later: dg.DagsterRun, run: dg.DagsterRun) -> bool:
    """Whether ``later`` was no drier than ``run``; of one that nobody launched, told the same."""
    asked, done = configs_of_steps(run), configs_of_steps(later)
    if _dry(done, True) - _dry(asked, True) or _dry(asked, False) - _dry(done, False):
        return False
    # Whoever launched a run by hand knows what was wrong with its configuration.
    is_by_hand = not run.tags.keys() & _ASKED_BY_ITSELF
    return is_by_hand or _but_dry(asked) == _but_dry(done)


def _does_the_steps_of(
    instance: dg.DagsterInstance, later: dg.DagsterRun, run: dg.DagsterRun
) -> bool:
    """Whether ``later`` executed each step that ``run`` had not done.

    The same steps have many names: those of a schedule name no assets, those that the UI launches
    name all of them, and one that begins where another failed names the rest.
    """
    wanted, done = _steps(instance, run), _steps(instance, later)
    if not wanted or not done:
        return _subject(later) == _subject(run)
    if wanted <= done:
        return True
    stats = instance.get_run_step_stats(run.run_id)
    return (
        wanted - {step.step_key for step in stats if step.status is StepEventStatus.SUCCESS} <= done
    )


def _steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> frozenset[str]:
    """The steps that a run was to execute, none where that is not kept."""
    if run.step_keys_to_execute:
        return frozenset(run.step_keys_to_execute)
    if run.execution_plan_snapshot_id is None:
        return frozenset()
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return frozenset(plan.step_keys_to_execute)


def _dry(configs: Mapping[str, Mapping[str, object]], value: bool) -> set[str]:
    """The steps that were told so; what deletes is dry where nobody says otherwise."""
    return {step for step, config in configs.items() if config.get("dry_run") is value}


def _but_dry(configs: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    rest = {
        step: {name: value for name, value in config.items() if name != "dry_run"}
        for step, config in configs.items()
    }
    return {step: config for step, config in rest.items() if config}


def _causes(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    """What the run's failed steps, or else its process or the run itself, say. No stack traces."""
    for event_type, told in _TELLERS:
        causes = [
            told(record.event_log_entry.dagster_event)
            for record in instance.get_records_for_run(run_id, of_type=event_type).records
            if record.event_log_entry.dagster_event is not None
        ]
        yield from dict.fromkeys(filter(None, causes))
        if any(causes):
            return


def _of_step(event: dg.DagsterEvent) -> str | None:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    return event.message if data.error is None else _words(data.error)


def _of_process(event: dg.DagsterEvent) -> str | None:
    """How the run's process was killed, or why it could not begin.

    Of both, the run itself says only that it is marked as failed from outside.
    """
    error = event.engine_event_data.error
    if error is not None:
        return _words(error)
    message = event.message or ""
    return message if _KILLED in message else None


def _of_run(event: dg.DagsterEvent) -> str | None:
    # None where Dagster's monitor has ended the run, or the sensor that ends dead ones.
    data = event.event_specific_data
    error = data.error if isinstance(data, JobFailureData) else None
    return event.message if error is None else _words(error)


def _words(error: SerializableErrorInfo) -> str:
    first = error.cause or error
    message = first.message.strip()
    # Of a refusal of ours, the words alone.
    return message.partition(": ")[2] if first.cls_name == dg.Failure.__name__ else message


_KILLED: Final = "Run execution process"
_TELLERS: Final[tuple[tuple[dg.DagsterEventType, Callable[[dg.DagsterEvent], str | None]], ...]] = (
    (dg.DagsterEventType.STEP_FAILURE, _of_step),
    (dg.DagsterEventType.ENGINE_EVENT, _of_process),
    (dg.DagsterEventType.RUN_FAILURE, _of_run),
)
