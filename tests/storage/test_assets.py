"""Storage through a real Dagster instance: what runs count, write, show and warn of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from ft_ops.definitions import defs
from ft_ops.format import human_bytes
from ft_ops.months import Month
from ft_ops.storage.family import family_usage
from ft_ops.storage.jobs import recompute_storage_daily, recompute_storage_fully_weekly
from tests.fixtures.postgres import Database
from tests.storage.world import MONTHS, World, expected, make_world, shown

RANGE = {
    ASSET_PARTITION_RANGE_START_TAG: "2024-01-01",
    ASSET_PARTITION_RANGE_END_TAG: "2024-04-01",
}
FULL = {"monthly_storage": {"config": {"full": True}}}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def world(connection: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.delenv("FT_MEDIA_INVENTORY", raising=False)
    return make_world(connection, seed=9)


def run(
    instance: dg.DagsterInstance,
    config: Mapping[str, object] | None = None,
    only: str | None = None,
) -> dg.ExecuteInProcessResult:
    """The job, or one asset of it with its checks."""
    return defs.resolve_job_def("recompute_storage").execute_in_process(
        instance=instance,
        tags=RANGE,
        run_config={"ops": dict(config or {})},
        asset_selection=[dg.AssetKey(only)] if only else None,
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    event = result.asset_materializations_for_node(asset)[-1]
    return {name: value.value for name, value in event.metadata.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == name]
    return found


def test_a_run_brings_every_figure_in_line(world: World, instance: dg.DagsterInstance) -> None:
    result = run(instance)
    assert result.success
    totals = expected(world.connection)
    assert shown(world.connection) == (totals.families, totals.users)
    said = [
        metadata(result, asset) for asset in ("monthly_storage", "family_storage", "user_storage")
    ]
    assert len({each["snapshot"] for each in said}) == 1
    assert said[0]["bytes"] == human_bytes(sum(totals.families.values()))
    assert said[0]["growth"].startswith("![growth by month](data:image/png;base64,")


def test_each_counted_month_has_its_figures_also_outside_the_range(
    world: World, instance: dg.DagsterInstance
) -> None:
    """The range ends in April; May changed, and is counted all the same."""
    run(instance)
    counts: dict[str, int] = dict(
        world.connection.execute("SELECT month::text, segments FROM ops.storage_months").fetchall()
    )
    for month in (MONTHS[0], MONTHS[4]):
        event = instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey("monthly_storage"), asset_partitions=[month.key]),
            limit=1,
        ).records[0]
        assert event.asset_materialization is not None
        figures = event.asset_materialization.metadata
        assert figures["dagster/partition_row_count"].value == counts[month.key]


def test_a_second_run_counts_and_writes_nothing(world: World, instance: dg.DagsterInstance) -> None:
    run(instance)
    again = run(instance)
    assert metadata(again, "monthly_storage")["months counted"] == 0
    assert metadata(again, "family_storage")["rows written"] == 0
    assert metadata(again, "user_storage")["rows written"] == 0


def test_the_check_compares_full_with_incremental(
    world: World, instance: dg.DagsterInstance
) -> None:
    def verdict(config: Mapping[str, object]) -> tuple[bool, dg.AssetCheckSeverity]:
        result = run(instance, config, only="monthly_storage")
        found = check(result, "full_agrees_with_incremental")
        return found.passed, found.severity

    warned, failed = ((False, s) for s in (dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR))
    assert verdict({})[0]
    world.connection.execute(
        "UPDATE ops.storage_recomputations SET taken_at = taken_at - interval '9 days'"
    )
    assert verdict({}) == warned
    assert verdict(FULL)[0]

    world.connection.execute("UPDATE ops.storage_rollup SET photo_bytes = photo_bytes + 1")
    assert verdict({})[0]
    assert verdict(FULL) == failed
    assert verdict(FULL)[0]

    world.connection.execute(
        "UPDATE ops.storage_recomputations SET taken_at = taken_at - '9d'::interval"
    )
    assert verdict({}) == warned


def test_families_near_and_above_their_limit_are_named(
    world: World, instance: dg.DagsterInstance
) -> None:
    used = expected(world.connection).families
    full, near, _empty = world.families
    limits = {full: used[full] - 1, near: int(used[near] / 0.9)}
    for family, limit in limits.items():
        world.connection.execute(
            "UPDATE families SET storage_limit_bytes = %s WHERE id = %s", (limit, family)
        )
    verdict = check(run(instance), "families_within_limits")
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert verdict.metadata["above 80 %"].value == 2
    assert verdict.metadata["above 100 %"].value == 1
    shown_rows = verdict.metadata["families"]
    assert isinstance(shown_rows, dg.TableMetadataValue)
    named = [record.data["family"] for record in shown_rows.records]
    assert named == [str(full), str(near)]

    world.connection.execute("UPDATE families SET storage_limit_bytes = NULL")
    assert check(run(instance), "families_within_limits").passed


def test_one_family_is_shown_on_demand(world: World, instance: dg.DagsterInstance) -> None:
    family = world.families[0]
    job = defs.resolve_job_def("report_family_storage")
    config = {"ops": {"family_storage_report": {"config": {"family_id": str(family)}}}}
    result = job.execute_in_process(instance=instance, run_config=config)
    (output,) = [e for e in result.all_events if e.is_successful_output]
    said = output.step_output_data.metadata
    total = expected(world.connection).families[family]
    assert said["bytes"].value == human_bytes(total)
    books = said["books"]
    assert isinstance(books, dg.TableMetadataValue)
    sizes = [book.total_bytes for book in family_usage(world.connection, family).books]
    assert sum(sizes) == total
    assert [record.data["bytes"] for record in books.records] == [human_bytes(n) for n in sizes]


@pytest.mark.parametrize(
    ("family_id", "cause"),
    [("nobody", "that is no id"), ("00000000-0000-0000-0000-000000000009", "no family")],
)
def test_an_unknown_family_fails_with_what_to_do(
    world: World, instance: dg.DagsterInstance, family_id: str, cause: str
) -> None:
    config = {"ops": {"family_storage_report": {"config": {"family_id": family_id}}}}
    result = defs.resolve_job_def("report_family_storage").execute_in_process(
        instance=instance, run_config=config, raise_on_error=False
    )
    failure = result.failure_data_for_node("family_storage_report")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert cause in str(failure.user_failure_data.metadata["cause"].value)


def test_schedules_ask_for_every_month_until_now() -> None:
    tick = datetime(2026, 3, 7, 3, tzinfo=UTC)
    context = dg.build_schedule_context(scheduled_execution_time=tick)
    for schedule, full in (
        (recompute_storage_daily, False),
        (recompute_storage_fully_weekly, True),
    ):
        (request,) = schedule.evaluate_tick(context).run_requests or []
        assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == "2024-01-01"
        assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == "2026-03-01"
        assert ('"full": true' in json.dumps(request.run_config)) is full


@pytest.mark.parametrize("asset", ["archived_content_segments", "purged_content_segments"])
def test_storage_is_recomputed_after_a_month_leaves(
    instance: dg.DagsterInstance, asset: str
) -> None:
    sensor = defs.resolve_sensor_def(f"recompute_storage_after_{asset}")
    assert sensor.job_name == "recompute_storage"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    repository = defs.get_repository_def()

    def requests(cursor: str | None) -> tuple[int, str | None]:
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=repository
        ) as context:
            tick = sensor.evaluate_tick(context)
            return len(tick.run_requests or []), tick.cursor

    count, cursor = requests(None)
    assert count == 0
    instance.report_runless_asset_event(
        dg.AssetMaterialization(asset, partition=Month(2024, 1).key)
    )
    count, cursor = requests(cursor)
    assert count == 1
    assert requests(cursor)[0] == 0
