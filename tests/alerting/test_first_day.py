"""A new deployment's first day: an empty database, a daemon that has just started, and no alarm."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from ft_ops.alerting.sensors import alert_on_failed_checks, alert_on_failed_runs
from ft_ops.clock import utc_now
from ft_ops.definitions import defs
from ft_ops.orchestration.deadlines import schedules_of
from ft_ops.orchestration.resources import DatabaseResource
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.settings import load_settings
from tests.fixtures.http import Inbox

SCHEDULES = {schedule.name: schedule for schedule in schedules_of(defs)}
BEFORE_THE_FIRST_FULL = [
    *("incremental_backup_six_hourly", "restore_drill_daily", "restore_drill_of_an_older_one"),
    "rehearse_erasures_weekly",
]
"""They ask for nothing yet, at whatever hour the daemon was started."""
QUICK = [
    *BEFORE_THE_FIRST_FULL,
    "check_schema_daily",
    "check_partition_coverage_daily",
    "check_archive_bucket_daily",
    "recompute_storage_daily",
    "check_health_daily",
    "check_connections_hourly",
    "make_overview_daily",
]
ALL = [
    *("ship_wal_quarter_hourly", "full_backup_daily", "ship_wal_quarter_hourly"),
    *("incremental_backup_six_hourly", "restore_drill_daily", "backup_retention_daily"),
    *("verify_backups_daily", "finish_archives_daily", "purge_archived_content_daily"),
    *("freeze_closed_partitions_daily", "check_maintenance_daily"),
    *QUICK,
]
LATER = {"full_backup_daily", "verify_backups_daily"}
"""That there is no backup at all is a finding, and true."""
KNOWN = ("disaster_recovery_copy", "minor_version")
"""Whether there is a copy in another region is for a person to decide, once; and the embedded
server is as old as its package."""
LOCATION = InProcessCodeLocationOrigin(
    loadable_target_origin=LoadableTargetOrigin(module_name="ft_ops.definitions"),
    location_name="ft_ops",
)


@dataclass
class Day:
    """A deployment, and the sensors' memory of it."""

    instance: dg.DagsterInstance
    cursor: str | None
    begun: list[str] = field(default_factory=list)

    def tick(self, schedule: str) -> None:
        """What the daemon runs for a schedule, and then the sensors."""
        given = dg.build_schedule_context(
            scheduled_execution_time=datetime.now(UTC),
            resources={"database": DatabaseResource(), "settings": load_settings()},
            repository_def=defs.get_repository_def(),
        )
        with given as context:
            requests = SCHEDULES[schedule].evaluate_tick(context).run_requests or ()
        for request in requests:
            self.begun.append(schedule)
            self.run(SCHEDULES[schedule].job_name, request)

    def run(self, job: str, request: dg.RunRequest) -> None:
        defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config={
                **request.run_config,
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=False,
        )
        given = self._given()
        alert_on_failed_runs(given)
        self.cursor = given.cursor
        alert_on_failed_checks(self._given(), settings=load_settings())

    def _given(self) -> dg.SensorEvaluationContext:
        return dg.SensorEvaluationContext(
            instance_ref=None,
            instance=self.instance,
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            code_location_origin=LOCATION,
        ).merge_resources({"settings": load_settings()})


def _said(body: str) -> list[str]:
    """The words of an alert."""
    message = json.loads(body)
    return [message["text"], *(block["text"]["text"] for block in message["blocks"][:1])]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(announce=lambda line: None) as opened:
        yield opened


@pytest.mark.parametrize(
    "schedules",
    [
        pytest.param(QUICK, id="before the first backup"),
        pytest.param(ALL, id="a whole day", marks=pytest.mark.chaos),
        pytest.param(
            sorted(set(SCHEDULES) - LATER), id="whatever is due first", marks=pytest.mark.chaos
        ),
    ],
)
def test_the_first_day_has_no_alarm(
    box: Sandbox, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, schedules: list[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("FT_", "AWS_"))]:
        monkeypatch.delenv(name)
    for name, value in box.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FT_ALERT_WEBHOOK_URL", inbox.url("/hook"))
    # How full this machine is says nothing of a first day.
    monkeypatch.setenv("FT_DATABASE_VOLUME_GB", "1000")
    with dg.instance_for_test() as instance:
        day = Day(instance, (utc_now()).isoformat())
        day.run("initial_schema", dg.RunRequest())
        for schedule in schedules:
            day.tick(schedule)
        told = [_said(body) for body in inbox.bodies]
        assert [words for words in told if not any(known in words[0] for known in KNOWN)] == []
        done = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
        assert done == instance.get_runs_count() > len(schedules) / 2
        assert all(name not in BEFORE_THE_FIRST_FULL for name in day.begun) or schedules is ALL
