"""The sensors against a real HTTP server: each failure is told once, to whoever should know."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from ft_ops.alerting import Alert, sensors
from ft_ops.alerting.messages import slack_message
from ft_ops.alerting.sensors import alert_on_failed_checks, alert_on_failed_runs, heartbeat
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError
from ft_ops.orchestration.resources import as_failure
from ft_ops.settings import load_settings
from tests.fixtures.http import Inbox
from tests.fixtures.instances import one_file_instance

PASSWORD = "hunter2-hunter2"
"""The password in FT_DATABASE_URL."""
LONG_AGO = "2026-01-01T00:00:00+00:00"
"""A cursor: alerts have been on since then."""


class Health(dg.Config):
    """Whether the asset below is well."""

    fails: bool = False
    check_passes: bool = True
    is_warning: bool = False


@dg.asset(group_name="archive", check_specs=[dg.AssetCheckSpec("whole", asset="months")])
def months(config: Health) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with as_failure():
        if config.fails:
            raise OpsError(
                "bucket", cause=f"postgresql://ops:{PASSWORD}@db refused", next_step="open it"
            )
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                check_name="whole",
                passed=config.check_passes,
                severity=dg.AssetCheckSeverity.WARN
                if config.is_warning
                else dg.AssetCheckSeverity.ERROR,
                description=f"a month is missing, says {PASSWORD}",
            )
        ]
    )


JOB = dg.define_asset_job("move_months", selection=[months])
DAILY = dg.ScheduleDefinition(
    name="move_months_daily",
    job=JOB,
    cron_schedule="0 6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
DEFS = dg.Definitions(
    assets=[months],
    jobs=[JOB],
    schedules=[DAILY],
    executor=dg.in_process_executor,
)
LOCATION = InProcessCodeLocationOrigin(
    loadable_target_origin=LoadableTargetOrigin(module_name="tests.alerting.test_sensors"),
    location_name="tests",
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with one_file_instance() as opened:
        yield opened


@pytest.fixture(autouse=True)
def settings(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", f"postgresql://ops:{PASSWORD}@db/familytales")
    monkeypatch.setenv("FT_ALERT_WEBHOOK_URL", inbox.url("/hook"))
    monkeypatch.setenv("FT_DAGSTER_URL", "https://dagster.example.org/")
    monkeypatch.setenv("FT_RUNBOOK_URL", "https://docs.example.org/ops")


def test_a_failed_run_is_told_once_with_its_cause_its_run_and_what_to_do(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    run_id = run(instance, fails=True)
    for _ in range(3):
        look_at_runs(instance)
    [body] = inbox.bodies
    message = json.loads(body)
    assert "move_months failed" in message["text"]
    assert "refused. Next: open it" in body
    assert f"https://dagster.example.org/runs/{run_id}" in body
    assert "https://docs.example.org/ops/runbook.md#move_months" in body


def test_a_failed_run_on_an_asset_leads_to_the_job_that_makes_it(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    DEFS.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[months.key],
        run_config=dg.RunConfig(ops={"months": Health(fails=True)}),
        raise_on_error=False,
    )
    look_at_runs(instance)
    [body] = inbox.bodies
    assert "months failed" in json.loads(body)["text"]
    assert "https://docs.example.org/ops/runbook.md#move_months" in body


def test_the_same_failure_of_the_next_run_is_not_told(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    for _ in range(2):
        run(instance, fails=True)
        look_at_runs(instance)
    assert len(inbox.bodies) == 1


def test_failures_before_the_first_tick_are_history(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    run(instance, fails=True)
    cursor = look_at_runs(instance, cursor=None)
    assert cursor is not None
    look_at_runs(instance, cursor)
    assert inbox.bodies == []


def test_failures_are_told_though_a_wrong_clock_has_dated_the_first_tick_ahead(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    run(instance, fails=True)
    look_at_runs(instance, (utc_now() + timedelta(days=100)).isoformat())
    assert len(inbox.bodies) == 1


def test_a_tick_looks_into_so_many_failures_and_the_next_one_goes_on(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs some requests of Dagster's storage: of thousands, a tick would tell none."""
    monkeypatch.setattr(sensors, "_MOST_RUNS", 1)
    monkeypatch.setenv("FT_ALERT_EMAIL_TO", "ops@example.org")
    monkeypatch.setenv("FT_SMTP_URL", "smtp://127.0.0.1:1")
    for _ in range(2):
        run(instance, fails=True)
    monkeypatch.setenv("FT_ALERT_REPEAT_HOURS", "0.000001")
    for told in (1, 2):
        with pytest.raises(dg.Failure, match="FT_SMTP_URL"):
            look_at_runs(instance)
        # What the mail did not take keeps nothing from the other channel.
        assert len(inbox.bodies) == told


def test_a_failure_that_could_not_be_told_is_told_by_the_next_tick(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    run(instance, fails=True)
    inbox.status = 503
    with pytest.raises(dg.Failure, match="FT_ALERT_WEBHOOK_URL"):
        look_at_runs(instance)
    inbox.status = 200
    look_at_runs(instance)
    look_at_runs(instance)
    assert len(inbox.bodies) == 2


def test_what_no_channel_took_is_not_forgotten_by_a_clock_that_is_ahead(
    deployed_instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(deployed_instance, fails=True)
    inbox.status = 503
    for ahead in (timedelta(), timedelta(days=100)):
        with monkeypatch.context() as clock:
            clock.setattr("ft_ops.alerting.sensors.utc_now", lambda by=ahead: utc_now() + by)
            with pytest.raises(dg.Failure, match="FT_ALERT_WEBHOOK_URL"):
                look_at_runs(deployed_instance)
    inbox.status = 200
    run(deployed_instance)
    look_at_runs(deployed_instance, utc_now().isoformat())
    assert "move_months failed" in json.loads(inbox.bodies[-1])["text"]


def test_without_a_channel_the_sensors_say_so(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FT_ALERT_WEBHOOK_URL")
    for sensor in (alert_on_failed_runs, alert_on_failed_checks):
        skipped = sensor(context(instance), settings=load_settings())
        assert isinstance(skipped, dg.SkipReason)
        assert "FT_ALERT_WEBHOOK_URL" in (skipped.skip_message or "")


def test_a_failed_check_is_told_once_and_so_is_its_recovery(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    for passes in (False, False, True, True):
        run(instance, check_passes=passes)
        look_at_checks(instance)
        look_at_checks(instance)
    failed, recovered = (json.loads(body) for body in inbox.bodies)
    assert failed["text"] == "🔴 check whole of months fails"
    assert "https://docs.example.org/ops/runbook.md#whole" in inbox.bodies[0]
    assert recovered["text"] == "🟢 check whole of months passes again"


def test_a_check_that_fails_again_after_a_recovery_is_told_again(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    for passes in (False, True, False):
        run(instance, check_passes=passes)
        look_at_checks(instance)
    assert [json.loads(body)["text"][0] for body in inbox.bodies] == ["🔴", "🟢", "🔴"]


def test_a_warning_that_becomes_an_error_is_told_again(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    for is_warning in (True, True, False):
        run(instance, check_passes=False, is_warning=is_warning)
        look_at_checks(instance)
    assert [json.loads(body)["text"][0] for body in inbox.bodies] == ["🟡", "🔴"]


def test_no_alert_holds_a_secret(instance: dg.DagsterInstance, inbox: Inbox) -> None:
    run(instance, fails=True)
    run(instance, check_passes=False)
    look_at_runs(instance)
    look_at_checks(instance)
    assert len(inbox.bodies) == 2
    assert all(PASSWORD not in body for body in inbox.bodies)
    assert "***" in inbox.bodies[0]


def test_the_heart_beats_while_everything_is_on_time(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_HEARTBEAT_URL", inbox.url("/ping"))
    scheduler_saw(instance, InstigatorStatus.DECLARED_IN_CODE)
    assert "heartbeat sent" in beat(instance)
    assert [(r.method, r.path) for r in inbox.requests] == [("GET", "/ping")]


def test_the_heart_stops_and_somebody_is_told_once_when_a_schedule_is_late(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_HEARTBEAT_URL", inbox.url("/ping"))
    scheduler_saw(instance, InstigatorStatus.STOPPED)
    for _ in range(2):
        assert "no heartbeat: move_months_daily" in beat(instance)
    [request] = inbox.requests
    assert request.path == "/hook"
    assert "move_months_daily is late" in json.loads(request.body)["text"]
    assert "https://docs.example.org/ops/runbook.md#heartbeat" in request.body


def test_the_heart_stops_and_somebody_is_told_once_when_two_daemons_run(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_HEARTBEAT_URL", inbox.url("/ping"))
    scheduler_saw(instance, InstigatorStatus.DECLARED_IN_CODE)
    # After a restart each daemon in turn beats for the first time under the new id.
    for kind, daemon, moment in (("SENSOR", "a", 1.0), ("BACKFILL", "b", 2.0)):
        instance.add_daemon_heartbeat(DaemonHeartbeat(moment, kind, daemon))
    assert "heartbeat sent" in beat(instance)
    instance.add_daemon_heartbeat(DaemonHeartbeat(3.0, "SCHEDULER", "a"))
    for _ in range(2):
        assert beat(instance) == "no heartbeat: more than one Dagster daemon runs"
    ping, told = inbox.requests
    assert (ping.path, told.path) == ("/ping", "/hook")
    assert "more than one Dagster daemon runs" in json.loads(told.body)["text"]


def test_a_failure_that_came_back_after_a_success_is_told_again(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    for fails in (True, False, True):
        run(instance, fails=fails)
        look_at_runs(instance)
    assert len(inbox.bodies) == 2


def test_a_check_that_healed_while_nobody_heard_is_told_when_somebody_hears(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    inbox.status = 503
    run(instance, check_passes=False)
    with pytest.raises(dg.Failure, match="FT_ALERT_WEBHOOK_URL"):
        look_at_checks(instance)
    run(instance, check_passes=True)
    with pytest.raises(dg.Failure, match="FT_ALERT_WEBHOOK_URL"):
        look_at_checks(instance)
    inbox.status, before = 200, len(inbox.bodies)
    look_at_checks(instance)
    look_at_checks(instance)
    told = [json.loads(body)["text"] for body in inbox.bodies[before:]]
    assert told == ["🔴 check whole of months fails", "🟢 check whole of months passes again"]


def test_a_dead_channel_is_tried_once_a_tick_and_keeps_no_recovery_from_the_others(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_ALERT_EMAIL_TO", "ops@example.org")
    monkeypatch.setenv("FT_SMTP_URL", "smtp://127.0.0.1:1")
    for passes in (False, True):
        run(instance, check_passes=passes)
        with pytest.raises(dg.Failure, match="FT_SMTP_URL"):
            look_at_checks(instance)
    assert [json.loads(body)["text"][0] for body in inbox.bodies] == ["🔴", "🟢"]


def test_an_evaluation_that_crashed_is_told_once_and_so_is_the_next_one(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    run(instance)
    run(instance, fails=True)
    for _ in range(3):
        look_at_checks(instance)
    [body] = inbox.bodies
    assert "move_months ended without evaluating 1 of its checks" in json.loads(body)["text"]
    assert "whole" in body
    run(instance)
    look_at_checks(instance)
    look_at_checks(instance)
    assert [json.loads(body)["text"][0] for body in inbox.bodies] == ["🔴", "🟢"]


def test_the_heart_does_not_beat_while_the_only_channel_takes_nothing(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_HEARTBEAT_URL", inbox.url("/ping"))
    monkeypatch.setenv("FT_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/hook")
    scheduler_saw(instance, InstigatorStatus.DECLARED_IN_CODE)
    run(instance, fails=True)
    for _ in range(2):
        with pytest.raises(dg.Failure):
            look_at_runs(instance)
    assert "no heartbeat: alerts by webhook have not arrived since" in beat(instance)
    assert inbox.requests == []
    monkeypatch.setenv("FT_ALERT_WEBHOOK_URL", inbox.url("/hook"))
    look_at_runs(instance)
    assert "heartbeat sent" in beat(instance)
    assert [request.path for request in inbox.requests] == ["/hook", "/ping"]


def test_of_two_channels_the_one_that_works_tells_of_the_other(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_HEARTBEAT_URL", inbox.url("/ping"))
    monkeypatch.setenv("FT_ALERT_EMAIL_TO", "ops@example.org")
    monkeypatch.setenv("FT_SMTP_URL", "smtp://127.0.0.1:1")
    scheduler_saw(instance, InstigatorStatus.DECLARED_IN_CODE)
    run(instance, fails=True)
    with pytest.raises(dg.Failure, match="FT_SMTP_URL"):
        look_at_runs(instance)
    for _ in range(2):
        assert "heartbeat sent" in beat(instance)
    failed, refused = (json.loads(r.body)["text"] for r in inbox.requests if r.path == "/hook")
    assert "move_months failed" in failed
    assert "alerts by mail do not arrive" in refused


def test_a_schedule_is_late_only_when_the_daemon_has_had_time_to_see_it(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the first start of the daemon no schedule was seen yet."""
    monkeypatch.setenv("FT_HEARTBEAT_URL", inbox.url("/ping"))
    cursor: str | None = None
    started = utc_now()
    for minutes, path in ((0, "/ping"), (14, "/ping"), (16, "/hook")):
        monkeypatch.setattr(
            sensors,
            "utc_now",
            lambda m=minutes: started + timedelta(minutes=m),
        )
        given = ticking(instance, cursor)
        heartbeat(given)
        cursor = given.cursor
        assert inbox.requests[-1].path == path
    assert "the scheduler has not seen it yet" in inbox.requests[-1].body


def test_a_long_detail_fits_into_what_slack_takes(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    alert = Alert("i", "error", "a title", "<&>" * 600, None, None)
    [section] = json.loads(json.dumps(slack_message(alert)))["blocks"]
    text = section["text"]["text"]
    assert len(text) <= 3000
    assert re.fullmatch(r"(?:[^&]|&amp;|&lt;|&gt;)*", text)


def context(
    instance: dg.DagsterInstance, cursor: str | None = LONG_AGO
) -> dg.SensorEvaluationContext:
    """What the daemon hands to a sensor."""
    return dg.SensorEvaluationContext(
        instance_ref=None,
        instance=instance,
        cursor=cursor,
        repository_def=DEFS.get_repository_def(),
        code_location_origin=LOCATION,
    )


def ticking(instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorEvaluationContext:
    """The same with its resources, so that the cursor that a tick leaves can be read from it."""
    return context(instance, cursor).merge_resources({"settings": load_settings()})


def look_at_runs(instance: dg.DagsterInstance, cursor: str | None = LONG_AGO) -> str | None:
    """A tick of the sensor on runs; the cursor that it leaves."""
    given = ticking(instance, cursor)
    alert_on_failed_runs(given)
    return given.cursor


def look_at_checks(instance: dg.DagsterInstance) -> None:
    """A tick of the sensor on checks."""
    alert_on_failed_checks(context(instance), settings=load_settings())


def beat(instance: dg.DagsterInstance, cursor: str | None = None) -> str:
    """A tick of the heartbeat; what it says of itself."""
    skipped = heartbeat(context(instance, cursor), settings=load_settings())
    assert isinstance(skipped, dg.SkipReason)
    return skipped.skip_message or ""


def run(
    instance: dg.DagsterInstance,
    *,
    fails: bool = False,
    check_passes: bool = True,
    is_warning: bool = False,
) -> str:
    """A real run of the job."""
    config = Health(fails=fails, check_passes=check_passes, is_warning=is_warning)
    result = DEFS.resolve_job_def("move_months").execute_in_process(
        instance=instance,
        run_config=dg.RunConfig(ops={"months": config}),
        raise_on_error=False,
    )
    assert result.success != fails
    return result.run_id


def scheduler_saw(instance: dg.DagsterInstance, status: InstigatorStatus) -> None:
    """The daemon has seen the schedule just now, so that nothing was due since."""
    origin = RemoteRepositoryOrigin(
        code_location_origin=LOCATION, repository_name=DEFS.get_repository_def().name
    )
    instance.add_instigator_state(
        InstigatorState(
            origin.get_instigator_origin(DAILY.name),
            InstigatorType.SCHEDULE,
            status,
            ScheduleInstigatorData("0 6 * * *", start_timestamp=utc_now().timestamp()),
        )
    )
