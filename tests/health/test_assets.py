"""The jobs, run as Dagster runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from ft_ops.definitions import defs
from ft_ops.health.server.questions import QUESTIONS
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture(autouse=True)
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.setenv("FT_LATENCY_SAMPLES", "5")


def run(job: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance, run_config=QUIET, raise_on_error=False
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, dg.MetadataValue]:
    [event] = result.asset_materializations_for_node(asset)
    return event.metadata


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def test_health_is_measured_judged_and_kept(
    sampled: Database, connection: Connection, instance: dg.DagsterInstance
) -> None:
    result = run("check_health", instance)
    assert result.success
    assert set(checks(result)) == {
        "latency_within_targets",
        "disk_headroom",
        "growth_within_projection",
        "connection_headroom",
        "no_stuck_sessions",
        "replication_keeps_up",
        *(question.check for question in QUESTIONS),
    }
    metrics = {
        name for (name,) in connection.execute("SELECT DISTINCT metric FROM ops.metric_samples")
    }
    assert {"screen_p95_ms", "query_p99_ms", "database_bytes", "connections"} <= metrics


def test_a_missed_target_fails_the_check_names_the_index_and_keeps_the_plan(
    sampled: Database,
    connection: Connection,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection.execute("DROP INDEX idx_threads_memory_book")
    monkeypatch.setenv("FT_TARGET_DASHBOARD_MS", "0")
    result = run("check_health", instance)
    check = checks(result)["latency_within_targets"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert "missing index: no valid index leads with threads(memory_book_id)" in str(
        check.description
    )
    plan = metadata(result, "query_latency")["plan of family_storage"]
    assert "Node Type" in str(plan.value)


def test_an_empty_database_is_healthy(database: Database, instance: dg.DagsterInstance) -> None:
    result = run("check_health", instance)
    assert result.success
    latency = checks(result)["latency_within_targets"]
    assert (latency.passed, latency.description) == (
        True,
        "nothing to measure: the database has no content yet",
    )


def test_content_that_nobody_sees_fails_latency_and_leaves_the_rest(
    database: Database, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(
            "INSERT INTO content_segment_keys (id, created_at, thread_id, sequence_number)"
            " VALUES (gen_random_uuid(), now(), gen_random_uuid(), 1)"
        )
    result = run("check_health", instance)
    assert not result.success
    assert "disk_headroom" in checks(result)
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert failure.step_key == "query_latency"


def test_a_full_disk_is_an_error(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_DATABASE_VOLUME_GB", "0.001")
    check = checks(run("check_health", instance))["disk_headroom"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_the_overview_shows_failed_checks_first_and_goes_to_prometheus(
    sampled: Database,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FT_TARGET_SEARCH_MS", "0")
    monkeypatch.setenv("FT_METRICS_TEXTFILE", str(tmp_path / "ft.prom"))
    run("check_health", instance)
    result = run("make_overview", instance)
    assert result.success
    page = str(metadata(result, "overview")["overview"].value)
    urgent, _, calm = page.partition("### In order")
    assert "query\\_latency: latency\\_within\\_targets" in urgent
    assert "last good backup" in urgent
    assert "months of content\\_segments" in calm
    assert "data:image" not in page  # of one measurement nothing is drawn
    exported = (tmp_path / "ft.prom").read_text(encoding="utf-8")
    assert 'ft_screen_p95_ms{subject="search"}' in exported
    assert 'ft_overview_lines{subject="bad"}' in exported


def test_the_overview_comes_even_when_nothing_was_ever_measured(
    database: Database, instance: dg.DagsterInstance
) -> None:
    result = run("make_overview", instance)
    assert result.success
    page = str(metadata(result, "overview")["overview"].value).replace("\xa0", " ")
    assert "not measured this week" in page
    assert "never yet" in page
