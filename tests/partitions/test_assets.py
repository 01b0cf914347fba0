"""The schedules, jobs and checks of the partitions, on a real instance and database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
import pytest

from ft_ops.definitions import defs
from ft_ops.months import Month
from ft_ops.orchestration.internals import partition_range
from ft_ops.orchestration.partitions import monthly
from ft_ops.partitions import PARENTS, coverage
from ft_ops.partitions.jobs import create_partitions_monthly
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database

KEYS = monthly.get_partition_keys()
RUN_EVERY_MONTH = """
import dagster as dg
from ft_ops.definitions import defs
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.internals import partition_range

with dg.DagsterInstance.ephemeral() as instance:
    keys = monthly.get_partition_keys()
    result = defs.resolve_job_def("create_partitions").execute_in_process(
        instance=instance, tags=partition_range(keys[0], keys[-1])
    )
    print(len(keys), result.success)
"""


def run(
    job: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tags: Mapping[str, str] | None = None,
    config: Mapping[str, object] | None = None,
) -> dg.ExecuteInProcessResult:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance, tags=tags, run_config=config, raise_on_error=False
        )


def tick(moment: datetime) -> Mapping[str, str]:
    """The tags of the one run that the schedule asks for."""
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)
        (request,) = create_partitions_monthly.evaluate_tick(context).run_requests or []
    return request.tags


def test_a_schedule_that_missed_months_leaves_no_hole_when_it_comes_back(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was created for half a year: the current month itself is missing by now."""
    lost = [Month.parse(key) for key in KEYS[-6:]]
    for parent in PARENTS:
        for month in lost:
            connection.execute(f"DROP TABLE {parent}_{month.suffix}")
    assert run("create_partitions", database, monkeypatch, tick(datetime.now(UTC))).success
    for parent in PARENTS:
        assert coverage(connection, parent, map(Month.parse, KEYS)).is_complete


def test_a_tick_asks_for_every_month_up_to_the_lookahead_of_its_own_time() -> None:
    tags = tick(datetime(2026, 2, 25, tzinfo=UTC))
    assert partition_range("2024-01-01", "2026-05-01").items() <= tags.items()


@pytest.mark.parametrize("months", [24, pytest.param(120, marks=pytest.mark.chaos)])
def test_one_run_back_fills_many_months_of_both_tables(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch, months: int
) -> None:
    first = Month.parse(KEYS[-1]).plus(1 - months)
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.setenv("FT_FIRST_MONTH", str(first))
    done = subprocess.run(
        [sys.executable, "-c", RUN_EVERY_MONTH],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(months), "True"]
    for parent in PARENTS:
        assert coverage(connection, parent, first.until(Month.parse(KEYS[-1]))).is_complete


def test_archived_months_come_back_only_when_they_are_asked_for(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(
        "DROP TABLE content_segments_2024_01; INSERT INTO ops.archive"
        " (month, generation, state, archived_at, purged_at)"
        " VALUES ('2024-01-01', 1, 'purged', now(), now())"
    )
    tags = tick(datetime.now(UTC))
    result = run("create_partitions", database, monkeypatch, tags)
    (event,) = result.asset_materializations_for_node("content_segments_partitions")[:1]
    assert event.metadata["in the archive"].value == 1
    assert connection.execute("SELECT to_regclass('content_segments_2024_01')").fetchone() == (
        None,
    )
    reopen = {"ops": {"content_segments_partitions": {"config": {"reopen_archived_months": True}}}}
    assert run("create_partitions", database, monkeypatch, tags, reopen).success
    assert coverage(connection, "content_segments", [Month(2024, 1)]).is_complete


def test_the_check_reads_the_catalog_and_says_what_to_do(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> dg.AssetCheckEvaluation:
        result = run("check_partition_coverage", database, monkeypatch)
        return next(
            e for e in result.get_asset_check_evaluations() if e.check_name == "audit_log_coverage"
        )

    assert check().passed
    connection.execute(
        "CREATE TABLE audit_log_2020_01 PARTITION OF audit_log"
        " FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')"
    )
    older = check()
    assert (older.passed, older.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert older.description is not None
    assert "from 2020-01: set it to that month" in older.description
    connection.execute("ALTER TABLE audit_log DETACH PARTITION audit_log_2024_03")
    gap = check()
    assert (gap.passed, gap.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert gap.metadata["missing"].value == ["2024-03"]
    assert "audit_log_2024_03: a table of that name stands alone" in str(
        gap.metadata["findings"].value
    )


def test_what_cannot_be_put_right_fails_the_run_in_words(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(
        "DROP TABLE content_segments_2024_01; CREATE VIEW content_segments_2024_01 AS SELECT 1 AS x"
    )
    result = run("create_partitions", database, monkeypatch, tick(datetime.now(UTC)))
    (event,) = result.get_step_failure_events()
    failed = event.step_failure_data.user_failure_data
    assert failed is not None
    assert "partition of 2024-01 and is not attached; it is a view" in str(failed.description)
