"""The whole cycle on sample data: every job once, through a persistent Dagster instance.

Runs inside a sandbox as ``python -m ft_ops.sandbox.demo``; `ft-ops demo` starts both.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from rich.console import Console

from ft_ops.archive import (
    TABLES,
    MonthDigests,
    differences,
    due_months,
    generations,
    hot_source,
    live_columns,
    loaded,
    month_digests,
    total,
)
from ft_ops.backups import newest_verified_backup
from ft_ops.definitions import defs
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.partitions import PARENTS
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.sqlfiles import statement
from ft_ops.policy import Policy, load_policy
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import versions
from ft_ops.sandbox.report import DemoReport, Step, human_bytes, show_report, write_report
from ft_ops.sandbox.sample import SampleReport, make_sample


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How much sample data a demo makes."""

    families: int
    months: int
    segments_per_month: int
    seed: int


@dataclass(slots=True)
class Demo:
    """A demo under way."""

    connection: Connection
    bucket: Bucket
    policy: Policy
    instance: dg.DagsterInstance
    console: Console
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a step; the block says its outcome by the function that it gets."""
        outcome = ""

        def tell(text: str) -> None:
            nonlocal outcome
            outcome = text

        self.console.print(f"[bold]{name}[/bold] …", end="\r")
        started = time.monotonic()
        yield tell
        seconds = time.monotonic() - started
        self.steps.append(Step(name, outcome, round(seconds, 2)))
        self.console.print(f"[bold]{name}[/bold]: {outcome} [dim]{seconds:.1f} s[/dim]")

    def run(
        self,
        job: str,
        month: Month | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        ops: Mapping[str, Mapping[str, object]] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job; its failure becomes an OpsError with the failure's own words."""
        result = defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=None if month is None else month.key,
            tags=dict(tags or {}),
            run_config={
                "ops": {name: {"config": dict(config)} for name, config in (ops or {}).items()},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )
        if not result.success:
            raise OpsError(
                f"job {job}" + (f" for {month}" if month else ""),
                cause=_failures(result),
                next_step="see the run in the Dagster UI: make ui",
            )
        return result


def run_demo(size: DemoSize, report_path: Path, console: Console) -> DemoReport:
    """Run every job once, show the report and write it; an OpsError when anything is not right."""
    began = time.monotonic()
    policy = load_policy()
    bucket = open_bucket(policy.require_archive_bucket())
    with (
        connected(policy.require_database_url(), application="demo") as connection,
        dg.DagsterInstance.get() as instance,
    ):
        demo = Demo(connection, bucket, policy, instance, console)
        sample = _prepare(demo, size)
        due = due_months(connection, policy.retention_years, datetime.now(UTC))
        before = _digests_before(demo, due)
        bytes_before = _database_bytes(connection)
        _archive(demo, due)
        _back_up(demo)
        purged = _purge(demo, due)
        rows_read_back = _read_back(demo, due, before)
        _verify_partitions(demo)
        report = DemoReport(
            steps=demo.steps,
            segments=sample.rows["content_segments"],
            months_created=sum(len(partitions_of(connection, p)) for p in PARENTS) + len(due),
            months_archived=[str(month) for month in due],
            months_proven=[str(m) for m in due if _latest_proven(connection, m)],
            months_purged=[str(month) for month in purged],
            months_read_back=[str(month) for month in due],
            rows_read_back=rows_read_back,
            database_bytes_before=bytes_before,
            database_bytes_after=_database_bytes(connection),
            bucket_bytes=sum(v.bytes for v in versions(bucket, "")),
            objects_by_storage_class=dict(Counter(v.storage_class for v in versions(bucket, ""))),
            storage_used_bytes=_storage_used(connection),
            families=sample.rows["families"],
            seconds=round(time.monotonic() - began, 1),
        )
    write_report(report, report_path)
    show_report(report, report_path, console)
    return report


def _prepare(demo: Demo, size: DemoSize) -> SampleReport:
    with demo.step("initial_schema") as tell:
        demo.run("initial_schema")
        months = sum(len(partitions_of(demo.connection, parent)) for parent in PARENTS)
        tell(f"schema applied, {months} monthly partitions")
    with demo.step("sample data") as tell:
        now = datetime.now(UTC)
        last = Month.of(now)
        sample = make_sample(
            demo.connection,
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
    with demo.step("create_partitions") as tell:
        keys = demo.policy.first_month, Month.of(now).plus(demo.policy.partition_lookahead_months)
        demo.run(
            "create_partitions",
            tags={
                ASSET_PARTITION_RANGE_START_TAG: keys[0].key,
                ASSET_PARTITION_RANGE_END_TAG: keys[1].key,
            },
        )
        tell(f"{keys[0]} to {keys[1]} in one run, for both tables")
    return sample


def _digests_before(demo: Demo, due: Sequence[Month]) -> dict[Month, MonthDigests]:
    columns = live_columns(demo.connection)
    return {month: month_digests(demo.connection, hot_source(month), columns) for month in due}


def _archive(demo: Demo, due: Sequence[Month]) -> None:
    with demo.step("archive_old_content") as tell:
        for month in due:
            demo.run("archive_old_content", month)
        tell(f"{len(due)} months moved, exported, proven and frozen")


def _back_up(demo: Demo) -> None:
    """A full backup, an increment, and a drill that restores them; then the checks of both."""
    with demo.step("take_full_backup") as tell:
        demo.run("take_full_backup")
        tell("taken, and its restore point is in the archived log")
    with demo.step("take_incremental_backup") as tell:
        demo.run("take_incremental_backup")
        tell("a later point to restore to")
    with demo.step("drill_restore") as tell:
        demo.run("drill_restore")
        verified = newest_verified_backup(demo.connection)
        if verified is None:
            raise OpsError(
                "restore drill",
                cause="it ended well, and no backup counts as verified",
                next_step="this is a defect: please report it",
            )
        tell(f"{verified.name} restored to {verified.restored_to:%H:%M:%S} UTC and checked")
    with demo.step("verify_backups") as tell:
        demo.run("verify_backups")
        tell("inventory taken")
    with demo.step("retain_backups") as tell:
        demo.run("retain_backups")
        tell("planned, as a dry run")


def _purge(demo: Demo, due: Sequence[Month]) -> list[Month]:
    with demo.step("purge_archived_content") as tell:
        for month in due:
            demo.run(
                "purge_archived_content",
                month,
                ops={"purged_content_segments": {"dry_run": False}},
            )
        tell(f"{len(due)} months removed from the database")
    return list(due)


def _read_back(
    demo: Demo, due: Sequence[Month], before: Mapping[Month, MonthDigests]
) -> dict[str, int]:
    """Load what the bucket holds of each month and compare it with what was there at first."""
    rows = dict.fromkeys(TABLES, 0)
    with demo.step("read back from the bucket") as tell:
        for month in due:
            generation = generations(demo.connection, month)[-1]
            for item in generation.objects:
                request_restore(demo.bucket, item.stored, days=1, tier="Bulk")
            with loaded(
                demo.connection,
                demo.policy.require_database_url(),
                demo.bucket,
                generation,
                purpose="demo",
            ) as copy:
                found = month_digests(demo.connection, copy.source, copy.columns)
            problems = differences(before[month], found)
            if problems:
                raise OpsError(
                    f"archive of {month}",
                    cause="what was read back is not what was archived: " + "; ".join(problems),
                    next_step="this is a defect: please report it with demo-report.json",
                )
            for table in TABLES:
                rows[table] += total(found[table]).rows
        tell(f"{sum(rows.values()):,} rows of {len(due)} months, all equal")
    return rows


def _verify_partitions(demo: Demo) -> None:
    with demo.step("check_partition_coverage") as tell:
        result = demo.run("check_partition_coverage")
        failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
        if failed:
            raise OpsError(
                "partition coverage",
                cause="; ".join(str(evaluation.description) for evaluation in failed),
                next_step="this is a defect: please report it",
            )
        tell("no gap, no misplaced bounds")


def _latest_proven(connection: Connection, month: Month) -> bool:
    return generations(connection, month)[-1].proven_at is not None


def _database_bytes(connection: Connection) -> int:
    row = connection.execute(statement("sandbox/database_bytes")).fetchone()
    assert row is not None
    return int(row[0])


def _storage_used(connection: Connection) -> int:
    row = connection.execute(statement("sandbox/storage_used")).fetchone()
    assert row is not None
    return int(row[0])


def _failures(result: dg.ExecuteInProcessResult) -> str:
    causes = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            failure = data.user_failure_data
            if failure is not None and failure.description:
                causes.append(failure.description)
            elif data.error is not None:
                causes.append(data.error.to_string().strip().splitlines()[0])
    return "; ".join(causes) or "it failed without a step that failed"
