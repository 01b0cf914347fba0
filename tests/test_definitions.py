"""What the outside relies on: asset keys, jobs, crons and pools, by name."""

from __future__ import annotations

import ast
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._utils.tags import TagConcurrencyLimitsCounter

import ft_ops
from ft_ops import definitions
from ft_ops.definitions import defs
from ft_ops.orchestration.deadlines import schedules_of
from ft_ops.orchestration.jobs import run_request

PACKAGE = Path(ft_ops.__file__).parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/assets.py"))
WITHOUT_DAGSTER = sorted({*ROOMS, "alerting", "commands", "doctor", "pg", "s3", "settings"})
"""Where Dagster is imported by nothing but assets, checks, jobs and what belongs to these."""


def test_the_code_location_has_one_definitions_object() -> None:
    """Dagster refuses a module with two; merging them in a test would not show it."""
    found = [name for name, value in vars(definitions).items() if isinstance(value, dg.Definitions)]
    assert found == ["defs"]


def test_asset_keys_by_group() -> None:
    groups: dict[str, set[str]] = {}
    for spec in defs.resolve_all_asset_specs():
        groups.setdefault(str(spec.group_name), set()).add(spec.key.to_user_string())
    assert groups == {
        "schema": {"schema"},
        "partitions": {"content_segments_partitions", "audit_log_partitions"},
        "archive": {
            "archived_content_segments",
            "content_archive",
            "purged_content_segments",
            "thawed_content_segments",
            "refrozen_content_segments",
            "erased_archive_content",
            "superseded_archive_content",
            "archive_records",
            "archive_drill",
            "erasure_rehearsal",
            "archive_replica",
            "archived_audit_log",
        },
        "evidence": {"evidence_chain"},
        "backups": {
            "full_backup",
            "incremental_backup",
            "monthly_dump",
            "wal_archive",
            "backup_inventory",
            "restore_drill",
            "backup_retention",
        },
        "restore": {"restored_family"},
        "rehearsal": {"upgrade_rehearsal"},
        "staging": {"masked_copy"},
        "maintenance": {
            "vacuumed_tables",
            "frozen_partitions",
            "index_bloat",
            "table_bloat",
            "rebuilt_indexes",
        },
        "storage": {"media_sizes", "monthly_storage", "family_storage", "user_storage"},
        "health": {
            "query_latency",
            "capacity",
            "connections",
            "server_state",
            "overview",
            "exported_metrics",
        },
    }


def test_jobs() -> None:
    names = {job.name for job in defs.resolve_all_job_defs()} - {"__ASSET_JOB"}
    assert names == {
        "initial_schema",
        "check_schema",
        "create_partitions",
        "check_partition_coverage",
        "archive_old_content",
        "purge_archived_content",
        "thaw_archived_content",
        "refreeze_thawed_content",
        "erase_archived_content",
        "remove_superseded_content",
        "check_archive_bucket",
        "archive_audit_log",
        "chain_evidence",
        "ship_archive_records",
        "check_archive_records",
        "rehearse_erasures",
        "drill_archive",
        "copy_archive_to_replica",
        "check_archive_replica",
        "take_full_backup",
        "take_incremental_backup",
        "take_monthly_dump",
        "ship_wal",
        "verify_backups",
        "drill_restore",
        "retain_backups",
        "restore_family",
        "rehearse_upgrade",
        "mask_copy",
        "vacuum_analyze",
        "freeze_closed_partitions",
        "rebuild_bloated_indexes",
        "check_maintenance",
        "vacuum_emergency",
        "drop_rebuild_leftovers",
        "repack_tables",
        "recompute_storage",
        "report_family_storage",
        "check_health",
        "check_connections",
        "make_overview",
        "prune_event_logs",
    }


def test_schedules_run_by_default_in_utc() -> None:
    schedules = list(defs.schedules or [])
    assert {
        (s.job_name, s.cron_schedule) for s in schedules if isinstance(s, dg.ScheduleDefinition)
    } == {
        ("check_schema", "15 0 * * *"),
        ("create_partitions", "0 0 25 * *"),
        ("check_partition_coverage", "30 0 * * *"),
        ("archive_old_content", "0 0 1 * *"),
        ("archive_old_content", "0 6 * * *"),
        ("purge_archived_content", "0 4 * * *"),
        ("remove_superseded_content", "30 5 * * *"),
        ("check_archive_bucket", "45 0 * * *"),
        ("archive_audit_log", "10 5 * * *"),
        ("chain_evidence", "45 5 * * *"),
        ("ship_archive_records", "*/15 * * * *"),
        ("check_archive_records", "12 6 * * *"),
        ("rehearse_erasures", "10 10 * * 6"),
        ("drill_archive", "40 8 * * *"),
        ("copy_archive_to_replica", "20 * * * *"),
        ("check_archive_replica", "20 7 * * *"),
        ("take_full_backup", "0 2 * * *"),
        ("take_incremental_backup", "0 */6 * * *"),
        ("take_monthly_dump", "0 8 1 * *"),
        ("ship_wal", "*/15 * * * *"),
        ("drill_restore", "0 4 * * *"),
        ("drill_restore", "30 5 * * 3,6"),
        ("retain_backups", "0 7 * * *"),
        ("verify_backups", "30 7 * * *"),
        ("vacuum_analyze", "0 0 * * 0"),
        ("freeze_closed_partitions", "0 1 * * *"),
        ("rebuild_bloated_indexes", "0 5 * * 0"),
        ("check_maintenance", "45 0 * * *"),
        ("drop_rebuild_leftovers", "40 0 * * *"),
        ("recompute_storage", "0 1 * * *"),
        ("recompute_storage", "0 3 * * 6"),
        ("check_health", "0 6 * * *"),
        ("check_connections", "10 * * * *"),
        ("make_overview", "30 6 * * *"),
        ("prune_event_logs", "15 9 * * *"),
    }
    for schedule in schedules:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.execution_timezone == "UTC"
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_schedule_s_run_comes_before_those_of_a_backfill() -> None:
    """Of those that wait for a pool the oldest would come first: ninety months before a backup."""
    backup = next(s for s in schedules_of(defs) if s.name == "full_backup_daily")
    [asked] = backup.evaluate_tick(dg.build_schedule_context()).run_requests or []
    assert asked.tags["dagster/priority"] == "1"
    month = run_request(partition_key="2017-03-01", tags={"by": "a sensor"})
    assert month.tags == {"dagster/priority": "1", "by": "a sensor"}


@pytest.mark.parametrize(
    ("second", "waits"),
    [("recompute_storage", True), ("take_full_backup", False)],
)
def test_a_job_s_second_run_waits_for_the_first(second: str, waits: bool) -> None:
    """A month leaves in the minute of the nightly count, and asks for a count of its own."""
    settings = yaml.safe_load((Path(ft_ops.__file__).parents[1] / "dagster.yaml").read_text())
    limits = settings["concurrency"]["runs"]["tag_concurrency_limits"]
    first, asked = (
        dg.DagsterRun(job_name=name, tags=dict(defs.resolve_job_def(name).tags))
        for name in ("recompute_storage", second)
    )
    assert TagConcurrencyLimitsCounter(limits, [first]).is_blocked(asked) == waits


def test_every_asset_is_described_and_owned() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key


@pytest.mark.parametrize("room", WITHOUT_DAGSTER)
def test_a_room_keeps_dagster_in_its_assets(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        if not path.stem.endswith(("assets", "checks", "jobs", "resources", "sensors")):
            assert "dagster" not in _imported_packages(path), path


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_other_rooms_only_as_packages(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for module in _imported_modules(path):
            parts = module.split(".")
            if parts[0] == "ft_ops" and len(parts) > 2 and parts[1] in ROOMS:
                assert parts[1] == room, f"{path} imports {module}"


def _imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


def _imported_packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in _imported_modules(path)}
