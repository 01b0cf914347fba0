"""The whole cycle on sample data, job by job, through a persistent Dagster instance.

Runs inside a sandbox as ``python -m ft_ops.sandbox.demo``; `ft-ops demo` starts both.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from rich.console import Console

from ft_ops.archive import (
    TABLES,
    MonthDigests,
    archive_run,
    differences,
    due_months,
    generations,
    hot_digests,
    stored_digests,
    total,
)
from ft_ops.backups import newest_verified_backup
from ft_ops.errors import OpsError
from ft_ops.format import human_bytes
from ft_ops.months import Month
from ft_ops.orchestration.internals import partition_range
from ft_ops.partitions import PARENTS
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import versions
from ft_ops.sandbox.report import DemoReport, show_report, write_report
from ft_ops.sandbox.sample import SampleReport, make_sample
from ft_ops.sandbox.stage import Stage
from ft_ops.sandbox.worker import worker
from ft_ops.settings import load_settings


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How much sample data a demo makes."""

    families: int
    months: int
    segments_per_month: int
    seed: int


def run_demo(size: DemoSize, report_path: Path, console: Console) -> DemoReport:
    """Run the cycle once, show the report and write it; an OpsError when anything is not right."""
    began = time.monotonic()
    settings = load_settings()
    bucket = open_bucket(settings.require_archive_bucket())
    with (
        worker() as beside,
        connected(settings.require_database_url(), application="demo") as connection,
        dg.DagsterInstance.get() as instance,
    ):
        stage = Stage(connection, bucket, settings, instance, beside, console)
        sample = _prepare(stage, size)
        due = due_months(connection, settings.retention_years, datetime.now(UTC))
        before = _digests_before(stage, due)
        bytes_before = _months_bytes(connection, due)
        with stage.two_heavy_runs():
            # Backups and what is restored from them have one core, what the database itself needs
            # has the other.
            shipped, backed_up = stage.start("ship_wal"), stage.start("take_full_backup")
            rehearsed = stage.start("rehearse_upgrade")
            _archive(stage, due)
            _archive_audit_log(stage)
            shipped("the log so far is in the bucket, beside the archive")
            backed_up("taken beside the archive, and its restore point is in the archived log")
            # A purge asks for a drill to a point after the proof.
            _back_up_again(stage)
            drilled, compared = stage.start("drill_restore"), _start_restore_family(stage)
            masked = stage.start("mask_copy")
            _recompute_storage(stage)
            _vacuum(stage)
            rehearsed("the copy through pg_upgrade to the next major version, beside the above")
            drilled("the newest backup restored to its newest point and checked, after that")
            _require_verified_backup(connection)
            purged = _purge(stage, due)
            rows_read_back = _read_back(stage, due, before)
            _verify_backups(stage)
            _maintain(stage)
            _verify_partitions(stage)
            _check_health(stage)
            compared("one family compared with the backup, as a dry run, beside the above")
            masked(
                "the copy as a masked dump, looked through for personal texts, in a bucket of its "
                "own, after that"
            )
        _look_back(stage)
        report = DemoReport(
            steps=stage.steps,
            checks=stage.checks,
            segments=sample.rows["content_segments"],
            months_created=sum(len(partitions_of(connection, p)) for p in PARENTS) + len(due),
            months_archived=[str(month) for month in due],
            months_proven=[str(m) for m in due if _latest_proven(connection, m)],
            months_purged=[str(month) for month in purged],
            months_read_back=[str(month) for month in due],
            rows_read_back=rows_read_back,
            months_bytes_before=bytes_before,
            months_bytes_after=_months_bytes(connection, due),
            bucket_bytes=sum(v.bytes for v in versions(bucket, "")),
            objects_by_storage_class=dict(Counter(v.storage_class for v in versions(bucket, ""))),
            storage_used_bytes=_storage_used(connection),
            families=sample.rows["families"],
            seconds=round(time.monotonic() - began, 1),
        )
    write_report(report, report_path)
    show_report(report, report_path, console)
    return report


def _prepare(stage: Stage, size: DemoSize) -> SampleReport:
    with stage.step("initial_schema") as tell:
        stage.run("initial_schema")
        months = sum(len(partitions_of(stage.connection, parent)) for parent in PARENTS)
        tell(f"schema applied, {months} monthly partitions")
    now = datetime.now(UTC)
    first = stage.settings.first_month
    ahead = stage.settings.last_month_ahead(now)
    # The sample needs no more than the partitions that are there; both take a core each.
    made = stage.start("create_partitions", tags=_range(first, ahead))
    with stage.step("sample data") as tell:
        last = Month.of(now)
        sample = make_sample(
            stage.connection,
            families=size.families,
            first=last.plus(1 - size.months),
            last=last,
            segments_per_month=size.segments_per_month,
            seed=size.seed,
            progress=lambda line: None,
            until=now,
        )
        tell(
            f"{sample.rows['content_segments']:,} segments of {size.families} families over "
            f"{size.months} months, {human_bytes(sample.bytes)}"
        )
    made(f"{first} to {ahead} in one run, for both tables, beside the sample")
    return sample


def _digests_before(stage: Stage, due: Sequence[Month]) -> dict[Month, MonthDigests]:
    return {month: hot_digests(stage.connection, month) for month in due}


def _archive(stage: Stage, due: Sequence[Month]) -> None:
    with stage.step("archive_old_content") as tell:
        for month in due:
            stage.run("archive_old_content", month)
        tell(f"{_count(due)} moved, exported, proven and frozen")


def _archive_audit_log(stage: Stage) -> None:
    with stage.step("archive_audit_log") as tell:
        stage.run("archive_audit_log", ops={"archived_audit_log": {"dry_run": False}})
        tell("the audit log's months of the same age, by the same steps")


def _recompute_storage(stage: Stage) -> None:
    with stage.step("recompute_storage") as tell:
        first, last = stage.settings.first_month, Month.of(datetime.now(UTC))
        full = {"monthly_storage": {"full": True}}
        stage.run("recompute_storage", tags=_range(first, last), ops=full)
        used = _storage_used(stage.connection)
        if used == 0:
            raise OpsError(
                "storage of the families",
                cause="nothing was counted, and there is content",
                next_step="this is a defect: please report it",
            )
        tell(f"{human_bytes(used)} used by all families")


def _back_up_again(stage: Stage) -> None:
    with stage.step("take_incremental_backup") as tell:
        stage.run("take_incremental_backup")
        tell("a later point to restore to")


def _start_restore_family(stage: Stage) -> Callable[[str], None]:
    row = stage.connection.execute("SELECT id::text FROM families ORDER BY id").fetchone()
    family = {"family_id": row[0] if row is not None else ""}
    return stage.start("restore_family", ops={"restored_family": family})


def _require_verified_backup(connection: Connection) -> None:
    if newest_verified_backup(connection) is None:
        raise OpsError(
            "restore drill",
            cause="it ended well, and no backup counts as verified",
            next_step="this is a defect: please report it",
        )


def _verify_backups(stage: Stage) -> None:
    with stage.step("verify_backups") as tell:
        stage.run("verify_backups")
        tell("inventory taken")
    with stage.step("retain_backups") as tell:
        stage.run("retain_backups")
        tell("planned, as a dry run")


def _purge(stage: Stage, due: Sequence[Month]) -> list[Month]:
    with stage.step("purge_archived_content") as tell:
        for month in due:
            stage.run(
                "purge_archived_content",
                month,
                ops={"purged_content_segments": {"dry_run": False}},
            )
        tell(f"{_count(due)} removed from the database")
    return list(due)


def _read_back(
    stage: Stage, due: Sequence[Month], before: Mapping[Month, MonthDigests]
) -> dict[str, int]:
    """Load what the bucket holds of each month and compare it with what was there at first."""
    rows = dict.fromkeys(TABLES, 0)
    with stage.step("read back from the bucket") as tell:
        for month in due:
            generation = generations(stage.connection, month)[-1]
            for item in generation.objects:
                request_restore(stage.bucket, item.stored, days=1, tier="Bulk")
            found = stored_digests(
                archive_run(stage.connection, stage.settings, "demo"), generation
            )
            problems = differences(before[month], found)
            if problems:
                raise OpsError(
                    f"archive of {month}",
                    cause="what was read back is not what was archived: " + "; ".join(problems),
                    next_step="this is a defect: please report it with demo-report.json",
                )
            for table in TABLES:
                rows[table] += total(found[table]).rows
        tell(f"{sum(rows.values()):,} rows of {_count(due)}, all equal")
    return rows


def _vacuum(stage: Stage) -> None:
    with stage.step("vacuum_analyze") as tell:
        # The sample has just been written: in production a month must stand still for a day.
        stage.run("vacuum_analyze", ops={"frozen_partitions": {"still_hours": 0.0}})
        tell("vacuumed and analysed; closed months frozen")


def _maintain(stage: Stage) -> None:
    with stage.step("rebuild_bloated_indexes") as tell:
        stage.run("rebuild_bloated_indexes", ops={"rebuilt_indexes": {"dry_run": True}})
        tell("estimated and ranked, as a dry run")
    with stage.step("check_maintenance") as tell:
        stage.run("check_maintenance")
        tell("transaction ids young, no invalid index")


def _check_health(stage: Stage) -> None:
    for job, outcome in (
        ("check_schema", "the live schema is what the migrations make"),
        ("check_archive_bucket", "looked at from outside"),
        ("check_health", "latency of the product's queries, sizes, connections"),
    ):
        _step(stage, job, outcome)


def _look_back(stage: Stage) -> None:
    """What tells of all that was done, when nothing else runs."""
    for job, outcome in (
        ("make_overview", "the morning's page is in the asset `overview`"),
        ("chain_evidence", "what was done here, chained and signed in the archive bucket"),
    ):
        _step(stage, job, outcome)


def _step(stage: Stage, job: str, outcome: str) -> None:
    with stage.step(job) as tell:
        stage.run(job)
        tell(outcome)


def _verify_partitions(stage: Stage) -> None:
    with stage.step("check_partition_coverage") as tell:
        result = stage.run("check_partition_coverage")
        failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
        if failed:
            raise OpsError(
                "partition coverage",
                cause="; ".join(str(evaluation.description) for evaluation in failed),
                next_step="this is a defect: please report it",
            )
        tell("no gap, no misplaced bounds")


def _count(months: Sequence[Month]) -> str:
    return "1 month" if len(months) == 1 else f"{len(months)} months"


def _range(first: Month, last: Month) -> Mapping[str, str]:
    return partition_range(first.key, last.key)


def _latest_proven(connection: Connection, month: Month) -> bool:
    return generations(connection, month)[-1].proven_at is not None


def _months_bytes(connection: Connection, months: Sequence[Month]) -> int:
    """Bytes of the tables that hold segments of these months, hot or archived."""
    tables = [
        partition.name
        for parent in ("content_segments", "archived_content_segments")
        for partition in partitions_of(connection, parent)
        if partition.month in months
    ]
    row = one_row(connection.execute(statement("sandbox/tables_bytes"), {"tables": tables}))
    return int(row[0])


def _storage_used(connection: Connection) -> int:
    row = one_row(connection.execute(statement("sandbox/storage_used")))
    return int(row[0])
