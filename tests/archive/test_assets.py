"""The archive's assets through a real Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg
import pytest

from ft_ops.archive.jobs import (
    archive_old_content_monthly,
    finish_archives_daily,
    purge_archived_content_daily,
    thaws_in_progress,
)
from ft_ops.archive.month.ledger import latest
from ft_ops.definitions import defs
from ft_ops.months import Month
from ft_ops.orchestration.resources import DatabaseResource, settings_resource
from tests.archive.world import World

OLD = Month(2024, 1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The environment of a deployment in which 2024-01 is due."""
    world.fill(OLD)
    for name, value in {
        "FT_DATABASE_URL": world.database.url,
        "FT_ARCHIVE_BUCKET": world.bucket.name,
        "FT_RETENTION_YEARS": "1",
        "FT_PURGE_ENABLED": "true",
        "FT_PURGE_GRACE_DAYS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    return world


def _run(
    instance: dg.DagsterInstance, job: str, config: Mapping[str, object] | None = None
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=OLD.key,
        run_config={"ops": dict(config or {})},
        raise_on_error=False,
    )


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_a_month_lives_its_whole_life_in_runs(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    archived = _run(instance, "archive_old_content")
    assert archived.success
    said = _metadata(archived, "content_archive")
    assert (said["state"], said["dagster/partition_row_count"]) == ("frozen", 40)

    looked = _run(instance, "purge_archived_content")
    assert _metadata(looked, "purged_content_segments")["decision"] == "refuse"
    deployed.verified_backup()
    looked = _run(instance, "purge_archived_content")
    assert _metadata(looked, "purged_content_segments")["decision"] == "purge"
    assert deployed.count("archived_content_segments") == 40

    off = {"purged_content_segments": {"config": {"dry_run": False}}}
    purged = _run(instance, "purge_archived_content", off)
    assert _metadata(purged, "purged_content_segments")["segments removed"] == 40

    thawed = _run(instance, "thaw_archived_content")
    assert thawed.success
    assert deployed.count("archived_content_segments") == 40
    frozen = _run(
        instance,
        "refreeze_thawed_content",
        {"refrozen_content_segments": {"config": {"dry_run": False}}},
    )
    assert _metadata(frozen, "refrozen_content_segments")["segments removed"] == 40
    assert deployed.count("archived_content_segments") == 0


def test_a_refusal_is_a_failure_that_says_what_to_do(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    off = {"purged_content_segments": {"config": {"dry_run": False}}}
    result = _run(instance, "purge_archived_content", off)
    assert not result.success
    (failure,) = [e for e in result.all_node_events if e.is_step_failure]
    user_failure = failure.step_failure_data.user_failure_data
    assert user_failure is not None
    assert user_failure.description is not None
    assert "nothing of it was archived" in user_failure.description
    assert set(user_failure.metadata) == {"what", "cause", "next step"}


def test_a_month_that_is_not_due_is_refused(
    deployed: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_RETENTION_YEARS", "7")
    result = _run(instance, "archive_old_content")
    assert not result.success
    assert deployed.count("content_segments") == 40


def test_a_dry_run_of_the_archive_moves_nothing(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    on = {
        "archived_content_segments": {"config": {"dry_run": True}},
        "content_archive": {"config": {"dry_run": True}},
    }
    result = _run(instance, "archive_old_content", on)
    assert _metadata(result, "archived_content_segments")["dry run"] is True
    assert deployed.count("content_segments") == 40
    assert latest(deployed.connection, OLD) is None


def _asked(schedule: dg.ScheduleDefinition, tick: datetime) -> list[dg.RunRequest]:
    with dg.build_schedule_context(
        scheduled_execution_time=tick,
        resources={"database": DatabaseResource(), "settings": settings_resource},
        repository_def=defs.get_repository_def(),
    ) as context:
        return list(schedule.evaluate_tick(context).run_requests or [])


def test_the_schedules_ask_for_what_the_ledger_and_the_catalog_say(deployed: World) -> None:
    tick = datetime(2026, 1, 1, tzinfo=UTC)
    keys = [request.partition_key for request in _asked(archive_old_content_monthly, tick)]
    assert (keys[0], keys[-1]) == (OLD.key, "2024-12-01")

    deployed.move(OLD)
    (unfinished,) = _asked(finish_archives_daily, tick)
    assert unfinished.partition_key == OLD.key
    assert _asked(purge_archived_content_daily, tick) == []

    deployed.freeze(OLD)
    (request,) = _asked(purge_archived_content_daily, datetime(2100, 1, 1, tzinfo=UTC))
    assert request.partition_key == OLD.key
    assert request.run_config["ops"] == {"purged_content_segments": {"config": {"dry_run": False}}}


def test_the_sensor_goes_on_when_glacier_answers(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    deployed.archived_and_purged(OLD)
    with dg.build_sensor_context(
        instance=instance,
        resources={"database": DatabaseResource(), "settings": settings_resource},
        repository_def=defs.get_repository_def(),
    ) as context:
        assert thaws_in_progress.evaluate_tick(context).skip_message
        deployed.connection.execute(
            "INSERT INTO ops.thaws (month, purpose, state, generations, tier, days, estimate)"
            " VALUES ('2024-01-01', 'thaw', 'restoring', '{1}', 'Bulk', 1, '{}')"
        )
        assert thaws_in_progress.evaluate_tick(context).skip_message
        assert _run(instance, "thaw_archived_content").success
        deployed.connection.execute("UPDATE ops.thaws SET expires_at = now() - interval '1 hour'")
        (request,) = thaws_in_progress.evaluate_tick(context).run_requests or []
    assert (request.job_name, request.partition_key) == ("refreeze_thawed_content", OLD.key)
