"""One month that can't be worked on is named, and the work on the others goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest

from ft_ops.archive.jobs import archive_old_content_monthly
from ft_ops.archive.month.ledger import generations, latest, supersede
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.run import Lock
from ft_ops.archive.thaw_jobs import thaws_in_progress
from ft_ops.definitions import defs
from ft_ops.months import Month
from ft_ops.orchestration.resources import DatabaseResource, settings_resource
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import delete_version
from tests.archive.test_assets import OLD, deployed, instance, make_a_year
from tests.archive.world import World

__all__ = ["deployed", "instance"]

NEXT = Month(2024, 2)


@pytest.fixture
def two_months(deployed: World) -> World:
    """2024-01 and 2024-02, purged."""
    deployed.fill(NEXT)
    for month in (OLD, NEXT):
        deployed.archived_and_purged(month)
    return deployed


def _erase(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("erase_archived_content").execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config={"ops": {"erased_archive_content": {"config": {"dry_run": False}}}},
    )


def _failure(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [e for e in result.all_node_events if e.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None
    return str(failure.step_failure_data.user_failure_data.description)


def _lose_an_object(world: World, month: Month, number: int = 0) -> None:
    generation = latest(world.connection, month)
    assert generation is not None
    stored = generation.objects[number].stored
    delete_version(world.bucket, stored.key, stored.version_id)


@pytest.mark.parametrize("lost", [0, 4], ids=["segments", "subjects"])
def test_a_damaged_month_is_a_failure_that_lets_the_next_one_be_erased(
    two_months: World, instance: dg.DagsterInstance, lost: int
) -> None:
    world = two_months
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    _lose_an_object(world, OLD, lost)
    result = _erase(instance)
    assert not result.success
    assert f"erasure of {OLD}" in _failure(result)
    assert [g.state for g in generations(world.connection, NEXT)] == ["superseded", "purged"]
    assert [g.state for g in generations(world.connection, OLD)] == ["purged"]


def test_a_damaged_thaw_does_not_stop_the_sensor(
    two_months: World, instance: dg.DagsterInstance
) -> None:
    world = two_months
    for month in (OLD, NEXT):
        world.connection.execute(
            "INSERT INTO ops.thaws (month, purpose, state, generations, tier, days, estimate)"
            " VALUES (%s, 'thaw', 'restoring', '{1}', 'Bulk', 1, '{}')",
            (month.first_day,),
        )
    generation = latest(world.connection, NEXT)
    assert generation is not None
    for item in generation.objects:
        request_restore(world.bucket, item.stored, days=3, tier="Bulk")
    _lose_an_object(world, OLD)
    with dg.build_sensor_context(
        instance=instance,
        resources={"database": DatabaseResource(), "settings": settings_resource},
        repository_def=defs.get_repository_def(),
    ) as context:
        requests = thaws_in_progress.evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in requests] == [NEXT.key]
    found = world.connection.execute("SELECT error FROM ops.thaws ORDER BY month").fetchall()
    [[damaged], [readable]] = found
    assert "404" in damaged
    assert readable is None


def test_a_locked_object_of_a_replaced_generation_does_not_stop_erasures(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    world = deployed
    world.fill(NEXT)
    world.archived_and_purged(NEXT)
    world.move(OLD)

    def freeze_under_lock() -> None:
        generation = latest(world.connection, OLD)
        assert generation is not None
        rules = replace(world.rules, lock=Lock("GOVERNANCE", 365))
        archive_content(replace(world.run, rules=rules), generation)

    freeze_under_lock()
    newest = latest(world.connection, OLD)
    assert newest is not None
    supersede(world.connection, newest, "changed", "test")
    freeze_under_lock()
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    result = _erase(instance)
    assert not result.success
    assert f"objects of {OLD} generation 1" in _failure(result)
    assert [g.state for g in generations(world.connection, NEXT)] == ["superseded", "purged"]


def test_an_erasure_that_is_refused_fails_the_run_by_name(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    """The month is asked back already, for its readers."""
    world = deployed
    world.archived_and_purged(OLD)
    world.connection.execute(
        "INSERT INTO ops.thaws (month, purpose, state, generations, tier, days, estimate)"
        " VALUES ('2024-01-01', 'thaw', 'restoring', '{1}', 'Bulk', 1, '{}')"
    )
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[0],))
    result = _erase(instance)
    assert not result.success
    assert f"erasure of {OLD}" in _failure(result)
    assert "thaw 1" in _failure(result)


def _asked(tick: datetime) -> list[str | None]:
    with dg.build_schedule_context(
        scheduled_execution_time=tick,
        resources={"database": DatabaseResource(), "settings": settings_resource},
        repository_def=defs.get_repository_def(),
    ) as context:
        data = archive_old_content_monthly.evaluate_tick(context)
    return [request.partition_key for request in data.run_requests or []]


def test_a_month_before_the_first_partition_does_not_stop_the_others(deployed: World) -> None:
    make_a_year(deployed)
    deployed.month(Month(2016, 12))
    keys = _asked(datetime(2026, 1, 1, tzinfo=UTC))
    assert keys[0] == OLD.key
    assert len(keys) == 12


def test_late_rows_that_wait_are_not_asked_for(deployed: World) -> None:
    deployed.archive(OLD)
    deployed.month(OLD)
    deployed.segment(OLD, sequence=900)
    assert OLD.key not in _asked(datetime(2026, 1, 1, tzinfo=UTC))
