"""The archive's assets through a real Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ft_ops.archive.jobs import (
    archive_old_content_monthly,
    finish_archives_daily,
    purge_archived_content_daily,
)
from ft_ops.archive.month.ledger import latest
from ft_ops.archive.thaw_jobs import thaws_in_progress
from ft_ops.clock import refuse_other_clock, utc_now
from ft_ops.definitions import defs
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.orchestration.resources import DatabaseResource, settings_resource
from ft_ops.partitions import ensure_months
from ft_ops.pg.connect import server_time
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
    instance: dg.DagsterInstance,
    job: str,
    config: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=OLD.key,
        run_config={"ops": dict(config or {})},
        tags=dict(tags or {}),
        raise_on_error=False,
    )


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def _seen(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """What a dry run shows: an observation, and no materialization."""
    assert result.success
    assert [e for e in result.all_events if e.is_step_materialization] == []
    found = [
        event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    (observation,) = [o for o in found if o.asset_key == dg.AssetKey(asset)]
    assert observation.partition in {OLD.key, None}
    return {name: value.value for name, value in observation.metadata.items()}


def test_a_month_lives_its_whole_life_in_runs(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    archived = _run(instance, "archive_old_content")
    assert archived.success
    said = _metadata(archived, "content_archive")
    assert (said["state"], said["dagster/partition_row_count"]) == ("frozen", 40)

    looked = _run(instance, "purge_archived_content")
    assert _seen(looked, "purged_content_segments")["decision"] == "refuse"
    deployed.verified_backup()
    looked = _run(instance, "purge_archived_content")
    assert _seen(looked, "purged_content_segments")["decision"] == "purge"
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


def test_a_back_fill_passes_over_a_month_that_is_not_due(
    deployed: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for all missing months gets no failure for each that waits for its time."""
    monkeypatch.setenv("FT_RETENTION_YEARS", "7")
    result = _run(instance, "archive_old_content", tags={"dagster/backfill": "of-all-missing"})
    seen = _seen(result, "archived_content_segments")
    assert str(seen["skipped"]).startswith("it is not due before 2031-0")
    assert deployed.count("content_segments") == 40

    monkeypatch.setenv("FT_RETENTION_YEARS", "1")
    result = _run(instance, "archive_old_content", tags={"dagster/backfill": "of-all-missing"})
    assert _metadata(result, "content_archive")["state"] == "frozen"


def test_a_dry_run_of_the_archive_moves_nothing(
    deployed: World, instance: dg.DagsterInstance
) -> None:
    on = {
        "archived_content_segments": {"config": {"dry_run": True}},
        "content_archive": {"config": {"dry_run": True}},
    }
    result = _run(instance, "archive_old_content", on)
    assert _seen(result, "archived_content_segments")["dry run"] is True
    # The second step, which has nothing to work on yet, is shown too.
    planned = _seen(result, "content_archive")
    assert planned["state"] == "not moved yet"
    assert str(planned["manifest"]).endswith("year=2024/month=01/gen=1/manifest.json")
    assert deployed.count("content_segments") == 40
    assert latest(deployed.connection, OLD) is None


def test_dry_runs_of_what_is_not_due_or_already_frozen_are_green(
    deployed: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = {
        "archived_content_segments": {"config": {"dry_run": True}},
        "content_archive": {"config": {"dry_run": True}},
    }
    deployed.archive(OLD)
    assert _seen(_run(instance, "archive_old_content", on), "content_archive")["state"] == "frozen"
    monkeypatch.setenv("FT_RETENTION_YEARS", "30")
    assert _seen(_run(instance, "archive_old_content", on), "archived_content_segments")


def test_a_longer_retention_keeps_months_that_were_archived_before(
    deployed: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.archive(OLD)
    deployed.verified_backup()
    monkeypatch.setenv("FT_RETENTION_YEARS", "30")
    off = {"purged_content_segments": {"config": {"dry_run": False}}}
    result = _run(instance, "purge_archived_content", off)
    (failure,) = [e for e in result.all_node_events if e.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None
    assert "still due" in str(failure.step_failure_data.user_failure_data.description)
    assert deployed.count("archived_content_segments") == 40
    # Nor does a thawed one leave.
    monkeypatch.setenv("FT_RETENTION_YEARS", "1")
    assert _run(instance, "purge_archived_content", off).success
    assert _run(instance, "thaw_archived_content").success
    monkeypatch.setenv("FT_RETENTION_YEARS", "30")
    off = {"refrozen_content_segments": {"config": {"dry_run": False}}}
    assert not _run(instance, "refreeze_thawed_content", off).success
    assert deployed.count("archived_content_segments") == 40


def _asked(schedule: dg.ScheduleDefinition, tick: datetime) -> list[dg.RunRequest]:
    with dg.build_schedule_context(
        scheduled_execution_time=tick,
        resources={"database": DatabaseResource(), "settings": settings_resource},
        repository_def=defs.get_repository_def(),
    ) as context:
        return list(schedule.evaluate_tick(context).run_requests or [])


def make_a_year(world: World) -> None:
    """All months of 2024, which the migrations make too."""
    ensure_months(world.connection, "content_segments", OLD.until(Month(2024, 12)))


def test_the_schedules_ask_for_what_the_ledger_and_the_catalog_say(deployed: World) -> None:
    make_a_year(deployed)
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
        # Begun by a run that died before it asked Glacier: the next one asks.
        (request,) = thaws_in_progress.evaluate_tick(context).run_requests or []
        assert request.job_name == "thaw_archived_content"
        assert _run(instance, "thaw_archived_content").success
        deployed.connection.execute("UPDATE ops.thaws SET expires_at = now() - interval '1 hour'")
        (request,) = thaws_in_progress.evaluate_tick(context).run_requests or []
    assert (request.job_name, request.partition_key) == ("refreeze_thawed_content", OLD.key)


def test_a_clock_that_is_far_off_moves_no_month(world: World) -> None:
    for off in (timedelta(hours=2), -timedelta(hours=2)):
        with pytest.raises(Refused, match="the database server's"):
            refuse_other_clock(str(OLD), utc_now() + off, server_time(world.connection))
    off = timedelta(minutes=50)
    refuse_other_clock(str(OLD), utc_now() + off, server_time(world.connection))
