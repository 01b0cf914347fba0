"""What is scheduled has a deadline, and what misses it is late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.selector import RepositorySelector
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.schedules import cron_string_iterator

from ft_ops.definitions import defs
from ft_ops.errors import OpsError
from ft_ops.orchestration.deadlines import (
    ALLOWANCES,
    ONLY_WHEN_NEEDED,
    Late,
    allowance,
    deadline_cron,
    late_schedules,
    scheduled_assets,
    schedules_of,
    with_deadlines,
)
from ft_ops.orchestration.jobs import longest_run
from ft_ops.settings import Settings
from tests.fixtures.instances import one_file_instance

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
TICK = datetime(2026, 3, 4, 6, tzinfo=UTC)
"""The last tick of a daily schedule at 6 that was due by NOW, six hours being allowed."""
STARTED = datetime(2026, 1, 1, tzinfo=UTC)

ORIGIN = RemoteRepositoryOrigin(
    code_location_origin=InProcessCodeLocationOrigin(
        loadable_target_origin=LoadableTargetOrigin(module_name="ft_ops.definitions"),
        location_name="ft_ops",
    ),
    repository_name="__repository__",
)


@dg.op
def work() -> None:
    """Do nothing."""


@dg.job
def daily() -> None:
    work()


SCHEDULE = dg.ScheduleDefinition(
    name="daily_at_six", job=daily, cron_schedule="0 6 * * *", execution_timezone="UTC"
)


@pytest.fixture(scope="module")
def opened() -> Iterator[dg.DagsterInstance]:
    """Made once: an instance takes longer than all that a test asks of it."""
    with one_file_instance() as opened:
        yield opened


@pytest.fixture
def instance(opened: dg.DagsterInstance) -> dg.DagsterInstance:
    opened.wipe()
    opened.wipe_all_schedules()
    return opened


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("0 0 25 * *", 6),
        ("0 0 1 * *", 24),
        ("30 22 * * *", 6),
        ("0 */6 * * *", 3),
        ("10 * * * *", 0.5),
        ("45 * * * *", 0.5),
        ("0 0 * * 0", 6),
        ("*/15 * * * *", 7 / 60),
        ("*/15 * * * *", 20 / 60),
        ("0 1,13 * * *", 6),
        ("0 1,13 * * *", 12),
        ("0 4 1 * *", 19),
        ("0 4 1 * *", 20),
        ("0 0 27 * *", 24),
        ("0 0 1 6 *", 24),
        ("5 0 * * 1", 23.9),
    ],
)
def test_each_deadline_comes_its_allowance_after_a_tick(cron: str, hours: float) -> None:
    later = timedelta(hours=hours)
    ticks = cron_string_iterator(STARTED.timestamp(), cron, "UTC")
    deadlines = cron_string_iterator(
        (STARTED + later).timestamp(), deadline_cron(cron, later), "UTC"
    )
    for _ in range(60):
        assert next(deadlines) == next(ticks) + later


def test_each_minute_of_a_deadline_is_named_once() -> None:
    assert deadline_cron("*/15 * * * *", timedelta(minutes=7)) == "7,22,37,52 * * * *"


@pytest.mark.parametrize(
    ("cron", "hours"),
    [("0 20 * * 6", 6), ("0 18 * * 6", 6), ("0 0 28 * *", 24), ("0 6,20 1 * *", 6)],
)
def test_a_deadline_that_no_cron_can_say_is_refused(cron: str, hours: int) -> None:
    with pytest.raises(OpsError) as refused:
        deadline_cron(cron, timedelta(hours=hours))
    assert refused.value.what == f"deadline of the cron {cron!r}"
    assert refused.value.cause == f"no single cron expression means {timedelta(hours=hours)} later"
    assert refused.value.next_step == "give the schedule a smaller allowance"


def test_every_asset_that_is_always_scheduled_has_the_freshness_of_its_cron() -> None:
    policies = {spec.key: spec.freshness_policy for spec in defs.resolve_all_asset_specs()}
    assets = [item for item in defs.assets or () if isinstance(item, dg.AssetsDefinition)]
    scheduled: set[dg.AssetKey] = set()
    for schedule in schedules_of(defs):
        if schedule.name not in ONLY_WHEN_NEEDED:
            scheduled |= scheduled_assets(schedule, assets)
    assert dg.AssetKey("content_segments_partitions") in scheduled
    assert {key for key, policy in policies.items() if policy is not None} == scheduled
    connections = policies[dg.AssetKey("connections")]
    assert connections == dg.FreshnessPolicy.cron("40 * * * *", timedelta(minutes=30))


@dg.asset(group_name="months", description="Whole.")
def months() -> None:
    """Does nothing."""


@dg.asset
def shares() -> None:
    """Does nothing."""


@dg.asset
def purged() -> None:
    """Does nothing."""


@dg.asset_check(asset=months)
def whole() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.sensor(job=daily)
def look() -> dg.SkipReason:
    return dg.SkipReason("nothing")


def _scheduled(name: str, cron: str, *assets: dg.AssetsDefinition) -> dg.ScheduleDefinition:
    job = dg.define_asset_job(f"{name}_job", selection=list(assets))
    return dg.ScheduleDefinition(name=name, job=job, cron_schedule=cron)


def test_an_asset_has_the_freshness_of_its_most_frequent_schedule_and_all_else_stays() -> None:
    schedules = [
        _scheduled("daily", "0 6 * * *", months, shares),
        _scheduled("hourly", "10 * * * *", months),
        _scheduled("weekly", "0 6 * * 1", shares),
        _scheduled("purge_archived_content_daily", "0 7 * * *", purged),
    ]
    given = dg.Definitions(
        assets=[months, shares, purged],
        asset_checks=[whole],
        schedules=schedules,
        sensors=[look],
        jobs=[daily],
        resources={"bucket": dg.ResourceDefinition.none_resource()},
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger},
    )
    found = with_deadlines(given)
    specs = {spec.key.to_user_string(): spec for spec in found.resolve_all_asset_specs()}
    hours = timedelta(hours=6)
    assert {name: spec.freshness_policy for name, spec in specs.items()} == {
        "months": dg.FreshnessPolicy.cron("40 * * * *", timedelta(minutes=30), timezone="UTC"),
        "shares": dg.FreshnessPolicy.cron("0 12 * * *", hours, timezone="UTC"),
        "purged": None,
    }
    assert (specs["months"].group_name, specs["months"].description) == ("months", "Whole.")
    for part in (
        "asset_checks",
        "schedules",
        "sensors",
        "jobs",
        "resources",
        "executor",
        "loggers",
    ):
        assert getattr(found, part) == getattr(given, part), part
    assert schedules_of(dg.Definitions()) == []


def test_of_jobs_that_only_check_or_run_ops_no_asset_is_scheduled() -> None:
    checks = dg.define_asset_job("check", selection=dg.AssetSelection.checks(whole))
    for job in (checks, daily):
        schedule = dg.ScheduleDefinition(name="s", job=job, cron_schedule="0 6 * * *")
        assert scheduled_assets(schedule, [months]) == frozenset()
    assert with_deadlines(dg.Definitions()).assets == []


def test_a_schedule_with_several_crons_is_refused_by_name() -> None:
    both = dg.ScheduleDefinition(name="both", job=daily, cron_schedule=["0 6 * * *", "0 8 * * *"])
    with pytest.raises(OpsError) as refused:
        allowance(both)
    assert refused.value.what == "schedule both"
    assert refused.value.cause == "it has several crons, whose deadlines are not defined"


def test_exceptions_are_schedules_that_exist() -> None:
    names = {schedule.name for schedule in schedules_of(defs)}
    assert names >= ONLY_WHEN_NEEDED
    assert "archive_old_content_monthly" in names & ALLOWANCES.keys()


def test_a_schedule_may_take_half_its_interval_but_no_more_than_six_hours() -> None:
    for cron, allowed in (
        ("0 6 * * *", timedelta(hours=6)),
        ("0 */12 * * *", timedelta(hours=6)),
        ("0 */8 * * *", timedelta(hours=4)),
        ("10 * * * *", timedelta(minutes=30)),
        # Whole minutes: a cron has no smaller ones.
        ("*/15 * * * *", timedelta(minutes=7)),
    ):
        schedule = dg.ScheduleDefinition(name="h", job=daily, cron_schedule=cron)
        assert allowance(schedule) == allowed


def test_what_may_take_longer_may() -> None:
    for name, allowed in (
        ("archive_old_content_monthly", timedelta(hours=24)),
        ("rebuild_bloated_indexes_weekly", timedelta(hours=12)),
    ):
        schedule = dg.ScheduleDefinition(name=name, job=daily, cron_schedule="0 0 1 * *")
        assert allowance(schedule) == allowed


def test_no_run_is_ended_within_the_time_that_its_schedule_and_its_steps_have() -> None:
    bounds = {
        job.name: timedelta(seconds=float((job.tags or {})["dagster/max_runtime"]))
        for job in defs.jobs or ()
    }
    assert {"take_full_backup", "vacuum_emergency"} <= bounds.keys()
    for schedule in schedules_of(defs):
        assert bounds[schedule.job_name] >= allowance(schedule), schedule.name
    for minutes in (1, 360, 2_880, 10_080):
        longest = longest_run(Settings(backup_timeout_minutes=minutes))
        # A drill restores, and reads what it has restored.
        assert longest >= max(2 * timedelta(minutes=minutes), timedelta(hours=24)), minutes


def test_a_tick_whose_run_succeeded_is_on_time(instance: dg.DagsterInstance) -> None:
    seen(instance)
    ticked(instance, TickStatus.SUCCESS, [run(instance, fails=False)])
    assert late(instance) == []


def test_a_tick_that_asked_for_nothing_is_on_time(instance: dg.DagsterInstance) -> None:
    seen(instance)
    ticked(instance, TickStatus.SKIPPED, [])
    assert late(instance) == []


def test_a_missing_tick_is_late(instance: dg.DagsterInstance) -> None:
    seen(instance)
    [found] = late(instance)
    assert (found.schedule, found.job, found.due_at) == ("daily_at_six", "daily", TICK)
    assert "did not tick" in found.why


def test_a_run_that_failed_is_late_until_one_succeeds(instance: dg.DagsterInstance) -> None:
    seen(instance)
    failed = run(instance, fails=True)
    ticked(instance, TickStatus.SUCCESS, [failed])
    assert [found.why for found in late(instance)] == [f"its run {failed} is failure"]
    run(instance, fails=False)
    assert late(instance) == []


def test_a_success_for_another_partition_does_not_make_a_failure_good(
    instance: dg.DagsterInstance,
) -> None:
    seen(instance)
    failed = run(instance, fails=True, partition="2017-03-01")
    ticked(instance, TickStatus.SUCCESS, [failed])
    run(instance, fails=False, partition="2017-04-01")
    assert len(late(instance)) == 1
    run(instance, fails=False, partition="2017-03-01")
    assert late(instance) == []


def test_a_run_that_has_not_ended_is_late(instance: dg.DagsterInstance) -> None:
    seen(instance)
    started = instance.create_run_for_job(daily, status=dg.DagsterRunStatus.STARTED)
    ticked(instance, TickStatus.SUCCESS, [started.run_id])
    assert [found.why for found in late(instance)] == [f"its run {started.run_id} is still started"]


def test_a_tick_that_failed_is_late(instance: dg.DagsterInstance) -> None:
    seen(instance)
    ticked(instance, TickStatus.STARTED, [])
    assert [found.why for found in late(instance)] == ["its tick is STARTED"]


def test_a_stopped_schedule_is_late_whatever_it_did_before(instance: dg.DagsterInstance) -> None:
    seen(instance, InstigatorStatus.STOPPED)
    ticked(instance, TickStatus.SUCCESS, [run(instance, fails=False)])
    assert [found.why for found in late(instance)] == ["it is stopped"]


def test_a_schedule_that_the_daemon_never_saw_is_late(instance: dg.DagsterInstance) -> None:
    assert "daemon" in late(instance)[0].why


def test_nothing_is_due_before_a_schedule_was_started(instance: dg.DagsterInstance) -> None:
    for started in (TICK + timedelta(minutes=1), NOW + timedelta(hours=1)):
        instance.wipe_all_schedules()
        seen(instance, started=started)
        assert late(instance) == []


def test_a_schedule_that_a_wrong_clock_started_in_the_future_is_late(
    instance: dg.DagsterInstance,
) -> None:
    """It would not tick before then, and nobody would miss it."""
    seen(instance, started=NOW + timedelta(days=100))
    [found] = late(instance)
    assert "a clock that was ahead switched it on for 2026-06-12" in found.why


def test_a_tick_within_its_allowance_is_not_asked_for(instance: dg.DagsterInstance) -> None:
    seen(instance, started=TICK - timedelta(hours=1))
    assert late(instance, NOW - timedelta(minutes=1)) == []
    assert len(late(instance, NOW)) == 1


def test_for_whoever_reads_a_page_a_tick_is_missing_after_ten_minutes(
    instance: dg.DagsterInstance,
) -> None:
    seen(instance, started=TICK - timedelta(hours=1))
    for minutes, at_once, is_told in (
        (9, True, False),
        (10, True, True),
        (6 * 60 - 1, True, True),
        (6 * 60 - 1, False, False),
        (6 * 60, False, True),
    ):
        found = late(instance, TICK + timedelta(minutes=minutes), at_once=at_once)
        assert bool(found) == is_told, minutes
    before_its_time = TICK + timedelta(minutes=10)
    assert late_schedules(instance, [SCHEDULE], ORIGIN.get_selector_id(), before_its_time) == []


def test_for_whoever_reads_a_page_a_run_may_take_its_time(
    instance: dg.DagsterInstance,
) -> None:
    """Once: what is late by both measures is told by the first."""
    seen(instance, started=TICK - timedelta(hours=1))
    started = instance.create_run_for_job(daily, status=dg.DagsterRunStatus.STARTED)
    ticked(instance, TickStatus.SUCCESS, [run(instance, fails=False), started.run_id])
    at_work = NOW - timedelta(minutes=1)
    assert late(instance, at_work, at_once=True) == []
    [found] = late(instance, NOW, at_once=True)
    assert (found.run_id, found.is_unseen) == (started.run_id, False)


def test_a_late_schedule_is_told_in_words_and_beside_the_others(
    instance: dg.DagsterInstance,
) -> None:
    seen(instance)
    other = dg.ScheduleDefinition(name="other", job=daily, cron_schedule="0 2 * * *")
    selector = ORIGIN.get_selector_id()
    found = late_schedules(instance, [other, SCHEDULE], selector, NOW)
    unseen, missing = (item.words for item in found)
    assert unseen.startswith("other, due 2026-03-04 02:00 UTC: the scheduler has not seen it yet")
    assert missing.startswith("daily_at_six, due 2026-03-04 06:00 UTC: it did not tick")
    assert [item.is_unseen for item in found] == [True, False]
    assert late_schedules(instance, [SCHEDULE], "another repository", NOW)[0].is_unseen


def test_a_run_that_was_removed_is_late_until_its_job_succeeds(
    instance: dg.DagsterInstance,
) -> None:
    """How it ended nobody knows; the other run of its tick says nothing of it."""
    seen(instance)
    asked = [run(instance, fails=False, partition=f"2017-0{month}-01") for month in (3, 4, 5)]
    ticked(instance, TickStatus.SUCCESS, asked)
    assert late(instance) == []
    for run_id in asked[1:]:
        instance.delete_run(run_id)
    [found] = late(instance)
    assert (found.run_id, "was removed" in found.why) == (asked[1], True)
    for month, is_late in ((4, True), (4, True), (5, False)):
        run(instance, fails=False, partition=f"2017-0{month}-01")
        assert bool(late(instance)) == is_late


def seen(
    instance: dg.DagsterInstance,
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
    started: datetime = STARTED,
) -> None:
    """The daemon has seen the schedule."""
    instance.add_instigator_state(
        InstigatorState(
            ORIGIN.get_instigator_origin(SCHEDULE.name),
            InstigatorType.SCHEDULE,
            status,
            ScheduleInstigatorData("0 6 * * *", start_timestamp=started.timestamp()),
        )
    )


def ticked(instance: dg.DagsterInstance, status: TickStatus, runs: list[str]) -> None:
    """The schedule has ticked at TICK."""
    origin = ORIGIN.get_instigator_origin(SCHEDULE.name)
    [state] = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    instance.create_tick(
        TickData(
            instigator_origin_id=origin.get_id(),
            instigator_name=SCHEDULE.name,
            instigator_type=InstigatorType.SCHEDULE,
            status=status,
            timestamp=TICK.timestamp(),
            run_ids=runs,
            selector_id=state.selector_id,
        )
    )


def run(instance: dg.DagsterInstance, *, fails: bool, partition: str | None = None) -> str:
    """A run of the schedule's job that has ended."""
    created = instance.create_run_for_job(
        daily,
        run_id=str(uuid4()),
        tags={"dagster/partition": partition} if partition else {},
        status=dg.DagsterRunStatus.FAILURE if fails else dg.DagsterRunStatus.SUCCESS,
    )
    return created.run_id


def late(instance: dg.DagsterInstance, now: datetime = NOW, *, at_once: bool = False) -> list[Late]:
    selector = RepositorySelector(location_name="ft_ops", repository_name="__repository__")
    assert ORIGIN.get_selector() == selector
    return late_schedules(instance, [SCHEDULE], ORIGIN.get_selector_id(), now, at_once=at_once)
