"""A failure is known until a later run of its kind succeeds; an earlier one excuses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.events import EngineEventData, JobFailureData

from ft_ops.orchestration.failed_runs import (
    failed_runs,
    name_of_run,
    run_failure,
    section_of_run,
    succeeded_later,
    succeeded_since,
)
from ft_ops.orchestration.internals import SerializableErrorInfo, partition_range
from tests.fixtures.instances import one_file_instance

PARTITION = "dagster/partition"
MARCH, APRIL = {PARTITION: "2017-03-01"}, {PARTITION: "2017-04-01"}
MONTHS, SHARES = dg.AssetKey("months"), dg.AssetKey(["storage", "shares"])
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

Run = Callable[..., dg.DagsterRun]


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


@pytest.fixture
def fails(instance: dg.DagsterInstance) -> Run:
    return lambda job="move", **how: _run(instance, job, dg.DagsterEventType.RUN_FAILURE, how)


@pytest.fixture
def succeeds(instance: dg.DagsterInstance) -> Run:
    return lambda job="move", **how: _run(instance, job, dg.DagsterEventType.RUN_SUCCESS, how)


def _run(
    instance: dg.DagsterInstance, job: str, end: dg.DagsterEventType, how: Mapping[str, Any]
) -> dg.DagsterRun:
    """A run that has ended so, with these tags and launched on this selection."""
    run = dg.DagsterRun(
        job_name=job, run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED, **how
    )
    instance.add_run(run)
    ended = dg.DagsterEvent(end.value, job, message="it ended")
    instance.report_dagster_event(ended, run_id=run.run_id)
    return run


def names(instance: dg.DagsterInstance, since: datetime = LONG_AGO) -> list[str]:
    return [failed.name for failed in failed_runs(instance, since)]


def test_an_older_success_does_not_excuse_todays_failure(
    instance: dg.DagsterInstance, fails: Run, succeeds: Run
) -> None:
    succeeds()
    failed = fails()
    [found] = failed_runs(instance, LONG_AGO)
    assert found.run.run_id == failed.run_id
    record = instance.get_run_record_by_id(failed.run_id)
    assert record is not None
    assert record.end_time is not None
    assert found.ended_at == datetime.fromtimestamp(record.end_time, UTC)
    assert not succeeded_later(instance, record)
    succeeds()
    assert succeeded_later(instance, record)
    assert failed_runs(instance, LONG_AGO) == []


def test_a_later_failure_makes_nothing_good(instance: dg.DagsterInstance, fails: Run) -> None:
    first = fails()
    fails()
    record = instance.get_run_record_by_id(first.run_id)
    assert record is not None
    assert not succeeded_later(instance, record)


def test_a_success_counts_from_the_moment_after_which_it_was_begun(
    instance: dg.DagsterInstance, fails: Run, succeeds: Run
) -> None:
    failed, succeeded = fails(), succeeds()
    record = instance.get_run_record_by_id(succeeded.run_id)
    assert record is not None
    begun = record.create_timestamp
    assert succeeded_since(instance, failed, begun - timedelta(seconds=1))
    assert not succeeded_since(instance, failed, begun + timedelta(seconds=1))


def test_a_failure_that_ended_before_the_moment_is_not_asked_for(
    instance: dg.DagsterInstance, fails: Run
) -> None:
    fails()
    assert names(instance, datetime.now(UTC) - timedelta(minutes=5)) == ["move"]
    assert names(instance, datetime.now(UTC) + timedelta(minutes=5)) == []


def test_only_the_same_job_partition_and_selection_makes_it_good(
    instance: dg.DagsterInstance, fails: Run, succeeds: Run
) -> None:
    fails(tags=MARCH)
    for other in (
        {"tags": APRIL},
        {},
        {"tags": MARCH, "asset_selection": frozenset({MONTHS})},
        {"tags": MARCH, "asset_check_selection": frozenset({dg.AssetCheckKey(MONTHS, "whole")})},
    ):
        succeeds(**other)
    succeeds("purge", tags=MARCH)
    assert names(instance) == ["move for 2017-03-01"]
    succeeds(tags={**MARCH, "by": "hand"})
    assert names(instance) == []


@pytest.mark.parametrize(
    ("by", "asked", "launched", "is_good"),
    [
        ("user", {"dry_run": False}, {"dry_run": False}, True),
        # What deletes is dry where nobody says otherwise.
        ("user", {"dry_run": False}, {}, False),
        ("user", {"dry_run": False}, {"dry_run": True}, False),
        ("user", {}, {"dry_run": True}, False),
        ("user", {"tables": ["mistyped"]}, {}, True),
        ("dagster/schedule_name", {}, {"dry_run": False}, True),
        ("dagster/schedule_name", {}, {"tables": ["letters"]}, False),
        ("dagster/schedule_name", {"full": True}, {}, False),
        ("dagster/sensor_name", {"family": "1"}, {"family": "2"}, False),
        ("dagster/sensor_name", {"family": "1"}, {"family": "1"}, True),
    ],
)
def test_a_success_that_was_asked_for_less_makes_nothing_good(
    instance: dg.DagsterInstance,
    fails: Run,
    succeeds: Run,
    by: str,
    asked: dict[str, object],
    launched: dict[str, object],
    is_good: bool,
) -> None:
    """A dry run by hand is the first thing that one does about a failed purge."""
    fails(tags={by: "somebody"}, run_config={"ops": {"purged": {"config": asked}}})
    succeeds(run_config={"ops": {"purged": {"config": launched}}})
    assert names(instance) == ([] if is_good else ["move"])


@dg.asset
def moved() -> None:
    """Does nothing."""


@dg.asset(deps=[moved])
def frozen() -> None:
    if "fault" in dg.AssetExecutionContext.get().run.tags:
        raise RuntimeError("no bucket")


ARCHIVE = dg.Definitions(
    assets=[moved, frozen],
    jobs=[dg.define_asset_job("archive", [moved, frozen])],
    executor=dg.in_process_executor,
)


@pytest.mark.parametrize(
    ("job", "selection", "is_good"),
    [
        ("archive", None, True),
        # The UI names all assets of a job that it launches.
        ("archive", [moved.key, frozen.key], True),
        ("__ASSET_JOB", [frozen.key], True),
        ("archive", [moved.key], False),
        ("__ASSET_JOB", [moved.key], False),
    ],
)
def test_a_success_of_what_was_not_done_makes_it_good_however_it_was_launched(
    instance: dg.DagsterInstance,
    succeeds: Run,
    job: str,
    selection: list[dg.AssetKey] | None,
    is_good: bool,
) -> None:
    """The failed run had moved the month, and could not freeze it."""
    whole = ARCHIVE.resolve_job_def("archive")
    whole.execute_in_process(instance=instance, tags={"fault": "bucket"}, raise_on_error=False)
    succeeds("archive", step_keys_to_execute=["moved"])
    assert names(instance) == ["archive"]
    launched = ARCHIVE.resolve_job_def(job)
    launched.execute_in_process(instance=instance, asset_selection=selection)
    assert names(instance) == ([] if is_good else ["archive"])


@pytest.mark.parametrize(
    ("first", "last", "is_good"),
    [
        ("2017-01-01", "2017-06-01", True),
        ("2016-01-01", "2017-07-01", True),
        ("2017-02-01", "2017-06-01", False),
        ("2017-01-01", "2017-05-01", False),
    ],
)
def test_a_success_over_fewer_months_makes_nothing_good(
    instance: dg.DagsterInstance, fails: Run, succeeds: Run, first: str, last: str, is_good: bool
) -> None:
    fails(tags=partition_range("2017-01-01", "2017-06-01"))
    succeeds()
    succeeds(tags=partition_range(first, last))
    assert names(instance) == ([] if is_good else ["move for 2017-01-01 to 2017-06-01"])


@pytest.mark.parametrize(
    ("failed", "succeeded", "is_good"),
    [
        # A backfill gives each of its runs a range from a month to the same one.
        (MARCH, partition_range("2017-03-01", "2017-03-01"), True),
        (partition_range("2017-03-01", "2017-03-01"), MARCH, True),
        (MARCH, partition_range("2017-01-01", "2017-06-01"), True),
        (MARCH, partition_range("2017-04-01", "2017-04-01"), False),
        (partition_range("2017-03-01", "2017-04-01"), MARCH, False),
    ],
)
def test_a_month_is_the_same_whether_it_was_launched_alone_or_in_a_backfill(
    instance: dg.DagsterInstance,
    fails: Run,
    succeeds: Run,
    failed: Mapping[str, str],
    succeeded: Mapping[str, str],
    is_good: bool,
) -> None:
    fails(tags=failed)
    succeeds(tags=succeeded)
    assert (names(instance) == []) == is_good


def test_the_run_of_a_backfill_is_called_by_its_month(
    instance: dg.DagsterInstance, fails: Run
) -> None:
    failed = fails(tags=partition_range("2017-03-01", "2017-03-01"))
    fails(tags=partition_range("2017-01-01", "2017-06-01"))
    assert names(instance) == ["move for 2017-01-01 to 2017-06-01", "move for 2017-03-01"]
    assert run_failure(instance, failed, {}).partition == "2017-03-01"


@pytest.mark.parametrize(
    ("message", "is_told"),
    [("Canceling due to exceeding maximum runtime of 86400 seconds.", True), (None, False)],
)
def test_what_took_too_long_has_failed_whoever_had_the_last_word(
    instance: dg.DagsterInstance, message: str | None, is_told: bool
) -> None:
    """Dagster's monitor cancels the run, and its process says so, before it is marked as failed."""
    run = dg.DagsterRun(job_name="move", run_id=str(uuid4()))
    instance.add_run(run)
    began = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "move")
    instance.report_dagster_event(began, run_id=run.run_id)
    instance.report_run_canceling(run, message)
    instance.report_run_canceled(run)
    assert names(instance) == (["move"] if is_told else [])


def test_each_kind_of_run_is_told_once_the_newest_first(
    instance: dg.DagsterInstance, fails: Run
) -> None:
    fails(tags=MARCH)
    fails(tags=APRIL)
    fails("purge")
    newest = fails(tags=MARCH)
    assert names(instance) == ["move for 2017-03-01", "purge", "move for 2017-04-01"]
    assert failed_runs(instance, LONG_AGO)[0].run.run_id == newest.run_id


@pytest.mark.parametrize(
    ("assets", "checks", "name"),
    [
        ({SHARES, MONTHS}, {"whole"}, "months"),
        ({SHARES}, set(), "storage/shares"),
        (None, {"whole", "fresh"}, "fresh"),
        (None, None, "__ASSET_JOB"),
    ],
)
def test_a_run_that_was_launched_by_hand_is_called_by_its_first_asset_or_check(
    assets: set[dg.AssetKey] | None, checks: set[str] | None, name: str
) -> None:
    run = dg.DagsterRun(
        job_name="__ASSET_JOB",
        asset_selection=None if assets is None else frozenset(assets),
        asset_check_selection=None
        if checks is None
        else frozenset(dg.AssetCheckKey(MONTHS, check) for check in checks),
    )
    assert name_of_run(run) == name


def test_the_runbooks_section_is_the_jobs_that_makes_the_asset_or_the_name_itself() -> None:
    jobs = {"move": {MONTHS}}
    on_months = dg.DagsterRun(job_name="__ASSET_JOB", asset_selection=frozenset({MONTHS}))
    on_shares = dg.DagsterRun(job_name="__ASSET_JOB", asset_selection=frozenset({SHARES}))
    on_check = dg.DagsterRun(
        job_name="__ASSET_JOB",
        asset_check_selection=frozenset({dg.AssetCheckKey(SHARES, "months")}),
    )
    assert section_of_run(on_months, jobs) == "move"
    assert section_of_run(on_shares, jobs) == "storage/shares"
    # A check of an asset's name is no asset.
    assert section_of_run(on_check, jobs) == "months"
    assert section_of_run(dg.DagsterRun(job_name="purge"), jobs) == "purge"


KILLED = "[DagsterApiServer] Run execution process for 7 was terminated by signal 9 (SIGKILL)."
OUTSIDE = "This run has been marked as failed from outside the execution context."
REFUSED = "it works on months, and this launch names none. Next: choose one: tags"


@pytest.mark.parametrize(
    ("process", "ended", "told"),
    [
        ((KILLED, None), (OUTSIDE, None), KILLED),
        (
            ("Could not load job definition.", ("ImportError: no module x", "ImportError")),
            (OUTSIDE, None),
            "ImportError: no module x",
        ),
        (
            ("Process for run exited (pid: 7).", None),
            ("An exception was thrown.", (f"dagster.Failure: {REFUSED}", "Failure")),
            REFUSED,
        ),
        (("Process for run exited (pid: 7).", None), (OUTSIDE, None), OUTSIDE),
    ],
    ids=["it was killed", "it could not begin", "it was refused", "nobody knows"],
)
def test_a_run_that_died_before_its_steps_says_why(
    instance: dg.DagsterInstance,
    process: tuple[str, tuple[str, str] | None],
    ended: tuple[str, tuple[str, str] | None],
    told: str,
) -> None:
    run = dg.DagsterRun(job_name="move", run_id=str(uuid4()))
    instance.add_run(run)
    for kind, (message, error), data in (
        (dg.DagsterEventType.ENGINE_EVENT, process, EngineEventData),
        (dg.DagsterEventType.RUN_FAILURE, ended, JobFailureData),
    ):
        info = error and SerializableErrorInfo(f"{error[0]}\n", [], error[1])
        event = dg.DagsterEvent(
            kind.value, "move", message=message, event_specific_data=data(error=info)
        )
        instance.report_dagster_event(event, run_id=run.run_id)
    assert run_failure(instance, run, {}).causes == (told,)


def test_a_run_that_was_ended_from_outside_says_why(instance: dg.DagsterInstance) -> None:
    """Dagster's monitor ends what runs for too long, and its event holds a message alone."""
    run = dg.DagsterRun(job_name="move", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    instance.report_run_failed(run, "Exceeded maximum runtime of 21600 seconds.")
    told = run_failure(instance, run, {})
    assert told.causes == ("Exceeded maximum runtime of 21600 seconds.",)
