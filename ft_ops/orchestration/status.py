"""What Dagster knows of what was to run: checks, failed runs, schedules and sensors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from ft_ops.orchestration.check_states import CheckState, check_states
from ft_ops.orchestration.deadlines import late_schedules, schedules_of
from ft_ops.orchestration.failed_runs import failed_runs, section_of_run
from ft_ops.orchestration.runbook import Jobs
from ft_ops.orchestration.sensor_ticks import broken_sensors
from ft_ops.standing import Standing, Status

_RUNS_SINCE: Final = timedelta(days=7)


def standings(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    this_run: dg.DagsterRun,
    now: datetime,
) -> list[Standing]:
    """Checks, failed runs, schedules and sensors. The latter two only a launched run can name.

    An earlier failure of the job of ``this_run`` counts no more: it is writing the page now.
    """
    origin = this_run.remote_job_origin
    found = [
        *_checks(instance, definitions),
        *_runs(instance, definitions, this_run.job_name, now),
    ]
    if origin is None:
        return [
            *found,
            Standing(
                "schedules",
                "schedules",
                Status.UNKNOWN,
                "not seen from here",
                "only a run that a schedule or the UI has launched can ask after them",
                section="make_overview",
            ),
        ]
    repository_selector_id = origin.repository_origin.get_selector_id()
    shown = {standing.reason for standing in found if standing.area == "runs"}
    return [
        *found,
        *_schedules(instance, definitions, repository_selector_id, now, shown),
        *_sensors(instance, definitions, repository_selector_id, now),
    ]


def _checks(instance: dg.DagsterInstance, definitions: dg.Definitions) -> Iterator[Standing]:
    """Every check that is not known to pass, and how many are."""
    keys = definitions.resolve_asset_graph().asset_check_keys
    states = check_states(instance, keys)
    never = [state for state in states if state.run_id is None]
    for state in states:
        if state.status != Status.GOOD and state.run_id is not None:
            yield _check(state)
    if never:
        yield Standing(
            "checks",
            "checks not evaluated yet",
            Status.UNKNOWN,
            f"{len(never)} of {len(states)}",
            ", ".join(state.key.name for state in never),
            section="alert_on_failed_checks",
        )
    passed = sum(state.status == Status.GOOD for state in states)
    yield Standing("checks", "checks", Status.GOOD, f"{passed} of {len(states)} passed")


def _check(state: CheckState) -> Standing:
    is_evaluated = state.status != Status.UNKNOWN and not state.crashed
    verb = "failed" if is_evaluated else "not evaluated"
    return Standing(
        "checks",
        state.name,
        state.status,
        f"{verb} {state.at:%Y-%m-%d %H:%M}" if state.at and is_evaluated else verb,
        state.words,
        since=None if is_evaluated else state.at,
        section=state.key.name,
    )


def _runs(
    instance: dg.DagsterInstance, definitions: dg.Definitions, this_job: str, now: datetime
) -> Iterator[Standing]:
    """What failed within a week and has not succeeded since."""
    found = failed_runs(instance, now - _RUNS_SINCE)
    failed = [item for item in found if item.run.job_name != this_job]
    jobs: Jobs = {
        job.name: job.asset_layer.selected_asset_keys
        for job in definitions.resolve_all_job_defs()
        if not job.name.startswith("__")
    }
    for item in failed:
        yield Standing(
            "runs",
            item.name,
            Status.BAD,
            f"failed {item.ended_at:%Y-%m-%d %H:%M}",
            f"run {item.run.run_id}, and none has succeeded since",
            section=section_of_run(item.run, jobs),
        )
    if not failed:
        yield Standing("runs", "failed runs", Status.GOOD, "none", "within a week")


def _schedules(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    repository_selector_id: str,
    now: datetime,
    shown: set[str],
) -> Iterator[Standing]:
    """Every schedule that is late; one whose failed run is ``shown`` already is left out."""
    schedules = schedules_of(definitions)
    late = late_schedules(instance, schedules, repository_selector_id, now, at_once=True)
    for item in late:
        if item.run_id is None or not any(item.run_id in text for text in shown):
            yield Standing(
                "schedules",
                item.schedule,
                Status.BAD,
                f"due {item.due_at:%Y-%m-%d %H:%M}",
                item.why,
                section="heartbeat",
            )
    yield Standing(
        "schedules",
        "schedules on time",
        Status.GOOD,
        f"{len(schedules) - len(late)} of {len(schedules)}",
    )


def _sensors(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    repository_selector_id: str,
    now: datetime,
) -> Iterator[Standing]:
    """Every sensor that does not do its work."""
    sensors = list(definitions.sensors or ())
    broken = broken_sensors(instance, sensors, repository_selector_id, now)
    for item in broken:
        yield Standing(
            "sensors",
            item.sensor,
            Status.BAD if item.since is not None else Status.UNKNOWN,
            "fails" if item.since is not None else "not at work",
            item.why,
            since=item.since,
            section=item.sensor,
        )
    yield Standing(
        "sensors",
        "sensors at work",
        Status.GOOD,
        f"{len(sensors) - len(broken)} of {len(sensors)}",
    )
