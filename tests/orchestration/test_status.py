"""What Dagster knows of this morning is on this morning's page."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo

from ft_ops.orchestration.internals import location_tag
from ft_ops.orchestration.status import standings
from ft_ops.standing import Standing, Status
from tests.fixtures.instances import one_file_instance

PAGE_AT = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
TICK = PAGE_AT.replace(hour=4, minute=0)
"""The schedule's tick this morning: its work may take until ten."""


class Health(dg.Config):
    fails: bool = False
    check_passes: bool = True


@dg.asset(check_specs=[dg.AssetCheckSpec("whole", asset="months")])
def months(config: Health) -> dg.MaterializeResult:  # type: ignore[type-arg]
    if config.fails:
        raise RuntimeError("the bucket is gone")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=config.check_passes)])


@dg.sensor(job_name="move", default_status=dg.DefaultSensorStatus.RUNNING)
def look() -> dg.SkipReason:
    return dg.SkipReason("nothing")


JOB = dg.define_asset_job("move", selection=[months])
DAILY = dg.ScheduleDefinition(name="move_daily", job=JOB, cron_schedule="0 4 * * *")
DEFS = dg.Definitions(
    assets=[months],
    jobs=[JOB],
    schedules=[DAILY],
    sensors=[look],
    executor=dg.in_process_executor,
)
REPOSITORY = RemoteRepositoryOrigin(
    code_location_origin=InProcessCodeLocationOrigin(
        loadable_target_origin=LoadableTargetOrigin(module_name="tests.orchestration.test_status"),
        location_name="tests",
    ),
    repository_name=DEFS.get_repository_def().name,
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with one_file_instance() as opened:
        started = (TICK - timedelta(hours=1)).timestamp()
        for name, kind, data in (
            ("move_daily", InstigatorType.SCHEDULE, ScheduleInstigatorData("0 4 * * *", started)),
            ("look", InstigatorType.SENSOR, SensorInstigatorData()),
        ):
            origin = REPOSITORY.get_instigator_origin(name)
            opened.add_instigator_state(
                InstigatorState(origin, kind, InstigatorStatus.RUNNING, data)
            )
        looked(opened, TickStatus.SKIPPED)
        yield opened


def page(instance: dg.DagsterInstance, now: datetime = PAGE_AT) -> dict[str, Standing]:
    this_run = dg.DagsterRun(
        job_name="make_overview", remote_job_origin=REPOSITORY.get_job_origin("make_overview")
    )
    return {f"{s.area}: {s.what}": s for s in standings(instance, DEFS, this_run, now)}


def worst(standings: dict[str, Standing]) -> dict[str, Status]:
    return {name: s.status for name, s in standings.items() if s.status != Status.GOOD}


TURNED = {
    "checks: checks not evaluated yet",
    "checks: months: whole",
    "runs: move",
    "schedules: move_daily",
    "schedules: schedules",
    "sensors: look",
}
"""The lines that a fault of these tests turns."""


def test_each_line_turns_by_a_fault_of_its_own_and_is_green_again(
    instance: dg.DagsterInstance,
) -> None:
    seen = worst(page(instance)).keys()
    run(instance, fails=True)
    looked(instance, TickStatus.FAILURE, 2)
    broken = page(instance)
    from_here = standings(instance, DEFS, dg.DagsterRun(job_name="make_overview"), PAGE_AT)
    unseen = {f"{s.area}: {s.what}" for s in from_here if s.status == Status.UNKNOWN}
    assert seen | worst(broken).keys() | unseen == TURNED
    counts = ("checks: checks", "schedules: schedules on time", "sensors: sensors at work")
    assert [broken[name].figure for name in counts] == ["0 of 1 passed", "0 of 1", "0 of 1"]
    assert "runs: failed runs" not in broken
    ticked(instance, TickStatus.SUCCESS, run(instance))
    looked(instance, TickStatus.SKIPPED, 1)
    whole = page(instance)
    assert worst(whole) == {}
    assert [whole[name].figure for name in counts] == ["1 of 1 passed", "1 of 1", "1 of 1"]


def test_a_morning_on_which_everything_went_well(instance: dg.DagsterInstance) -> None:
    ticked(instance, TickStatus.SUCCESS, run(instance))
    assert worst(page(instance)) == {}


def test_a_run_that_failed_this_morning_is_on_this_mornings_page(
    instance: dg.DagsterInstance,
) -> None:
    """Its schedule has time until ten o'clock; the page is read at half past six."""
    failed = run(instance, fails=True)
    ticked(instance, TickStatus.SUCCESS, failed)
    standings = page(instance)
    assert worst(standings) == {
        "runs: move": Status.BAD,
        "checks: months: whole": Status.UNKNOWN,
    }
    assert failed in standings["runs: move"].reason
    run(instance)
    assert worst(page(instance)) == {}


def test_a_tick_that_is_missing_or_failed_this_morning_is_on_this_mornings_page(
    instance: dg.DagsterInstance,
) -> None:
    run(instance)
    assert "did not tick" in page(instance)["schedules: move_daily"].reason
    ticked(instance, TickStatus.FAILURE)
    assert "FAILURE" in page(instance)["schedules: move_daily"].reason


def test_a_run_that_is_at_work_within_its_time_is_no_fault(instance: dg.DagsterInstance) -> None:
    run(instance)
    started = instance.create_run_for_job(
        DEFS.resolve_job_def("move"), status=dg.DagsterRunStatus.STARTED
    )
    ticked(instance, TickStatus.SUCCESS, started.run_id)
    assert worst(page(instance)) == {}
    late = page(instance, TICK + timedelta(hours=6))
    assert late["schedules: move_daily"].status == Status.BAD


def test_a_check_that_fails_and_one_that_crashes_since_are_both_shown(
    instance: dg.DagsterInstance,
) -> None:
    ticked(instance, TickStatus.SUCCESS, run(instance))
    run(instance, check_passes=False)
    assert worst(page(instance)) == {"checks: months: whole": Status.BAD}
    run(instance, fails=True)
    assert page(instance)["checks: months: whole"].status == Status.BAD
    run(instance)
    assert worst(page(instance)) == {}


def test_a_sensor_that_fails_or_is_silent_is_shown_until_it_looks_again(
    instance: dg.DagsterInstance,
) -> None:
    ticked(instance, TickStatus.SUCCESS, run(instance))
    looked(instance, TickStatus.FAILURE, 2)
    assert worst(page(instance)) == {"sensors: look": Status.BAD}
    looked(instance, TickStatus.SKIPPED, 1)
    assert worst(page(instance)) == {}
    silent = page(instance, PAGE_AT + timedelta(minutes=16))
    assert silent["sensors: look"].status == Status.BAD
    ahead = page(instance, PAGE_AT - timedelta(hours=2))
    assert "a clock that was ahead" in ahead["sensors: look"].reason


def test_on_the_first_morning_what_nobody_looked_at_is_unknown(
    instance: dg.DagsterInstance,
) -> None:
    ticked(instance, TickStatus.SKIPPED)
    assert worst(page(instance)) == {"checks: checks not evaluated yet": Status.UNKNOWN}


def run(instance: dg.DagsterInstance, *, fails: bool = False, check_passes: bool = True) -> str:
    result = DEFS.resolve_job_def("move").execute_in_process(
        instance=instance,
        run_config=dg.RunConfig(ops={"months": Health(fails=fails, check_passes=check_passes)}),
        raise_on_error=False,
    )
    return result.run_id


def ticked(instance: dg.DagsterInstance, status: TickStatus, *runs: str) -> None:
    _tick(instance, "move_daily", InstigatorType.SCHEDULE, status, TICK, runs)


def looked(instance: dg.DagsterInstance, status: TickStatus, minutes_before: int = 3) -> None:
    at = PAGE_AT - timedelta(minutes=minutes_before)
    _tick(instance, "look", InstigatorType.SENSOR, status, at, ())


def _tick(
    instance: dg.DagsterInstance,
    name: str,
    kind: InstigatorType,
    status: TickStatus,
    at: datetime,
    runs: tuple[str, ...],
) -> None:
    [state] = instance.all_instigator_state(instigator_type=kind)
    error = SerializableErrorInfo("it raised", [], None) if status == TickStatus.FAILURE else None
    instance.create_tick(
        TickData(
            instigator_origin_id=REPOSITORY.get_instigator_origin(name).get_id(),
            instigator_name=name,
            instigator_type=kind,
            status=status,
            timestamp=at.timestamp(),
            run_ids=list(runs),
            selector_id=state.selector_id,
            error=error,
        )
    )


def test_a_run_of_no_code_location_can_be_listed_below_the_jobs_of_one() -> None:
    launched = dg.DagsterRun(job_name="move", remote_job_origin=REPOSITORY.get_job_origin("move"))
    assert location_tag("tests") == launched.tags_for_storage()
