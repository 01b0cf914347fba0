"""The backups' assets through a real Dagster instance."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import dagster as dg
import pytest

from ft_ops.backups import Aftermath, newest_verified_backup
from ft_ops.backups.assets import CHECKS, LOG_CHECKS
from ft_ops.definitions import defs
from ft_ops.errors import OpsError
from tests.backups.world import Standing, World


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def _run(
    instance: dg.DagsterInstance, job: str, config: Mapping[str, object] | None = None
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        run_config={"ops": {name: {"config": value} for name, value in (config or {}).items()}},
        raise_on_error=False,
    )


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    assert result.success
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def _observed(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """What a dry run shows: an observation, and no materialization."""
    assert result.success
    assert result.asset_materializations_for_node(asset) == []
    (event,) = result.get_asset_observation_events()
    return {
        name: value.value
        for name, value in event.asset_observation_data.asset_observation.metadata.items()
    }


def _failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return str(failure.description)


@pytest.fixture
def standing_bucket(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> Standing:
    """The standing world, as the settings name it."""
    monkeypatch.setenv("FT_BACKUP_BUCKET", standing.world.bucket.name)
    monkeypatch.setenv("FT_BACKUP_FLOOR", "1")
    return standing


@pytest.mark.chaos
def test_a_full_is_drilled_to_its_own_point(
    standing_bucket: Standing, instance: dg.DagsterInstance
) -> None:
    full = standing_bucket.full.point
    drill = _metadata(
        _run(instance, "drill_restore", {"restore_drill": {"backup": full.name}}), "restore_drill"
    )
    assert (drill["backup"], drill["restored to"]) == (full.name, full.name)
    # The increment's rows are not there: recovery stopped where it was told to.
    assert drill["dagster/row_count"] == full.rows
    assert full.rows < standing_bucket.increment.point.rows


@pytest.mark.chaos
def test_a_proven_backup_is_shown_though_somebody_erased_stayed_in_its_copy(
    standing_bucket: Standing, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = OpsError("erasures in a copy", cause="refuted: 2 rows of threads", next_step="mend")
    monkeypatch.setattr(
        "ft_ops.archive.keep.assets._after_drill",
        lambda *_: lambda copy: Aftermath(f"{copy.point}: refuted", problem),
    )
    full = standing_bucket.full.point.name
    launched = _run(instance, "drill_restore", {"restore_drill": {"backup": full}})
    assert "2 rows of threads" in _failure(launched)
    (event,) = launched.asset_materializations_for_node("restore_drill")
    assert event.metadata[f"after {full}"].value == f"{full}: refuted"
    assert newest_verified_backup(standing_bucket.world.connection) is not None


@pytest.mark.chaos
def test_the_inventory_and_the_plan_are_shown(
    standing_bucket: Standing, instance: dg.DagsterInstance
) -> None:
    checked = _run(instance, "verify_backups")
    inventory = _metadata(checked, "backup_inventory")
    assert inventory["broken"] == 0
    assert str(inventory["ladder"]).startswith("![ladder](data:image/png;base64,")
    verdicts = {e.check_name: e for e in checked.get_asset_check_evaluations()}
    assert verdicts.keys() == {*CHECKS, *LOG_CHECKS}
    assert verdicts["only_whole_backups"].passed
    assert not verdicts["disaster_recovery_copy"].passed
    assert verdicts["disaster_recovery_copy"].severity == dg.AssetCheckSeverity.WARN

    # Without the policy's word nothing goes, whatever the launch says.
    launched = _run(instance, "retain_backups", {"backup_retention": {"dry_run": False}})
    plan = _observed(launched, "backup_retention")
    assert (plan["dry run"], plan["go"], plan["stay"]) == (True, [], 2)


def test_what_a_lost_refutation_fails_comes_after_all_that_is_shown(
    standing_bucket: Standing, instance: dg.DagsterInstance
) -> None:
    key = f"refutations/{standing_bucket.full.point.name}/29990101T000000000000Z.json"
    with standing_bucket.world.replaced(key, b"{"):
        checked = _run(instance, "verify_backups")
    assert f"{key}: it refutes" in _failure(checked)
    verdicts = {e.check_name: e for e in checked.get_asset_check_evaluations()}
    assert verdicts.keys() >= CHECKS.keys()
    assert not verdicts["backups_verified"].passed
    assert len(checked.asset_materializations_for_node("backup_inventory")) == 1


def test_without_a_full_there_is_nothing_to_follow_or_to_drill(
    world: World, instance: dg.DagsterInstance
) -> None:
    assert "there is no full backup that it could follow" in _failure(
        _run(instance, "take_incremental_backup")
    )
    assert "there is no complete full backup" in _failure(_run(instance, "drill_restore"))


@pytest.mark.chaos
def test_a_day_of_backups(world: World, instance: dg.DagsterInstance) -> None:
    full = _metadata(_run(instance, "take_full_backup"), "full_backup")
    assert full["tables that changed in that moment"] == []
    world.write()
    increment = _metadata(_run(instance, "take_incremental_backup"), "incremental_backup")
    [[claims]] = world.connection.execute("SELECT count(*) FROM ops.backup_claims").fetchall()
    grown = increment["dagster/row_count"] - full["dagster/row_count"]  # type: ignore[operator]
    assert 102 < grown < 102 + claims

    drill = _metadata(_run(instance, "drill_restore"), "restore_drill")
    assert drill["restored to"] == increment["backup"]
    assert drill["dagster/row_count"] == increment["dagster/row_count"]
    verified = newest_verified_backup(world.connection)
    assert verified is not None
    assert verified.name == full["backup"]

    dump = _metadata(_run(instance, "take_monthly_dump"), "monthly_dump")
    assert dump["storage class"] == "DEEP_ARCHIVE"
    assert dump["dagster/row_count"] >= increment["dagster/row_count"]  # type: ignore[operator]

    checked = _run(instance, "verify_backups")
    assert _metadata(checked, "backup_inventory")["broken"] == 0
    verdicts = {e.check_name: e.passed for e in checked.get_asset_check_evaluations()}
    assert {name for name, passed in verdicts.items() if not passed} == {"disaster_recovery_copy"}

    plan = _observed(_run(instance, "retain_backups"), "backup_retention")
    assert (plan["dry run"], plan["stay"]) == (True, 3)


def test_a_segment_that_stays_in_the_spool_shows_how_far_the_log_reaches(
    standing_bucket: Standing, instance: dg.DagsterInstance
) -> None:
    """What was shipped past it restores nothing, and the checks don't stay as they were."""
    provider, wal = standing_bucket.world.provider, standing_bucket.increment.point.mark.wal
    assert provider.spool is not None
    stuck = provider.spool / wal
    stuck.write_bytes(b"another content than the bucket has")
    os.utime(stuck, (0, 0))
    try:
        result = _run(instance, "ship_wal")
    finally:
        stuck.unlink()
    assert f"{wal}: " in _failure(result)
    assert result.asset_materializations_for_node("wal_archive") == []
    told = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(told) == set(LOG_CHECKS)
    assert not told["wal_lag"].passed
    assert "the archive ends at 1970-01-01" in str(told["wal_lag"].description)


def test_settings_that_are_missing_are_named(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FT_BACKUP_PROVIDER")
    assert "FT_BACKUP_PROVIDER: it is not set" in _failure(_run(instance, "ship_wal"))
    monkeypatch.delenv("FT_BACKUP_BUCKET")
    assert "FT_BACKUP_BUCKET: it is not set" in _failure(_run(instance, "take_full_backup"))
