"""What the archive's benchmarks share: the month as others would read, dump and upload it."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from typing import Final, LiteralString

import pandas as pd
from psycopg import adapters, sql

from bench.frame import BenchContext
from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import latest, supersede
from ft_ops.archive.proof.proof import prove_month
from ft_ops.archive.run import ArchiveRules, ArchiveTarget, Limits, Run
from ft_ops.archive.store.export import export_month
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import versions

RUN: Final = "bench"
PART_BYTES: Final = 256 << 20
NO_LIMITS: Final = Limits(replication_lag_seconds=1e9, latency_ms=1e9, longest_pause_seconds=0)
DUMP_KEY: Final = "pg_dump/month"

_TEXT_IN_PANDAS: Final = {adapters.types["uuid"].oid, adapters.types["jsonb"].oid}

_ROWS: Final[dict[str, LiteralString]] = {
    "content_segments": "SELECT s.* FROM {segments} AS s",
    "photo_narrations": (
        "SELECT c.* FROM photo_narrations AS c JOIN {segments} AS s ON s.id = c.content_segment_id"
    ),
    "content_tags": (
        "SELECT c.* FROM content_tags AS c JOIN {segments} AS s ON s.id = c.content_segment_id"
    ),
    "content_links": (
        "SELECT c.* FROM content_links AS c WHERE c.id IN ("
        "SELECT l.id FROM content_links AS l JOIN {segments} AS s ON s.id = l.source_segment_id"
        " UNION ALL "
        "SELECT l.id FROM content_links AS l JOIN {segments} AS s ON s.id = l.target_segment_id)"
    ),
}


def archive_prefix(connection: Connection) -> str:
    """Each database has a folder of its own in the bucket that all of a run share."""
    return f"bench/{connection.info.dbname}"


def bench_run(connection: Connection, url: str, bucket: Bucket, limits: Limits = NO_LIMITS) -> Run:
    """What the archive's steps are given here: nothing is held, and everything may go."""
    target = ArchiveTarget(bucket, archive_prefix(connection), PART_BYTES)
    rules = ArchiveRules(
        retention_years=1,
        purge_enabled=True,
        grace=timedelta(0),
        storage_class="DEEP_ARCHIVE",
        lock=None,
        limits=limits,
    )
    return Run(connection, url, lambda: target, rules, RUN)


class ArchivedMonth:
    """A month in archived_content_segments that is exported and proven again and again."""

    def __init__(self, connection: Connection, url: str, bucket: Bucket, month: Month) -> None:
        self._run = bench_run(connection, url, bucket)
        self._month = month

    @property
    def generation(self) -> Generation:
        found = latest(self._run.connection, self._month)
        assert found is not None, f"{self._month} was not moved"
        return found

    def begin_again(self) -> None:
        """Give up what was exported; the next export is another generation's."""
        if self.generation.state != "archived":
            supersede(self._run.connection, self.generation, "exported again", RUN)

    def export(self) -> None:
        export_month(self._run, self.generation)

    def prove(self) -> None:
        prove_month(self._run, self.generation)


def rely_on_a_backup(connection: Connection, month: Month) -> None:
    """Record a backup as verified: what a purge asks for and this measurement is not about."""
    name = f"bench-{month}"
    connection.execute(
        "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
        " completed_at) VALUES (%s, 'full', 'barman', 'complete', 'bench', clock_timestamp(),"
        " '{}', clock_timestamp())",
        [name],
    )
    connection.execute(
        "INSERT INTO ops.restore_drills (backup, target, state, restored_to, recovery_seconds,"
        " loss_seconds, certificate, finished_at)"
        " VALUES (%s, %s, 'passed', clock_timestamp(), 1, 1, '{}', clock_timestamp())",
        [name, name],
    )


def rows_of(table: str, month: Month) -> sql.Composed:
    """The rows of one table that an archive of ``month`` holds, by the shortest query."""
    segments = sql.Identifier(f"archived_content_segments_{month.suffix}")
    return sql.SQL(_ROWS[table]).format(segments=segments)


def rows_in_order(table: str, month: Month) -> sql.Composed:
    """The same rows with their family, those of a family and thread together.

    Links, a thirtieth of the rows, which may belong to two families, stay as they are.
    """
    rows = rows_of(table, month)
    if table == "content_links":
        return rows
    segments = sql.Identifier(f"archived_content_segments_{month.suffix}")
    segment = "id" if table == "content_segments" else "content_segment_id"
    return sql.SQL(
        "SELECT r.*, b.family_id FROM ({}) AS r JOIN {} AS of ON of.id = r.{}"
        " LEFT JOIN threads AS t ON t.id = of.thread_id"
        " LEFT JOIN memory_books AS b ON b.id = t.memory_book_id"
        " ORDER BY b.family_id, of.thread_id, of.sequence_number, r.id"
    ).format(rows, segments, sql.Identifier(segment))


def copy_month_apart(connection: Connection, month: Month) -> None:
    """Put the month's rows into four tables of the schema bench, for what can't select rows."""
    connection.execute("CREATE SCHEMA bench")
    for table in TABLES:
        create = sql.SQL("CREATE TABLE bench.{} AS {}")
        connection.execute(create.format(sql.Identifier(table), rows_of(table, month)))


def copy_to_nowhere(context: BenchContext, url: str, month: Month) -> None:
    """Read the month's rows in binary form, by psql, and throw them away."""
    copies = [
        sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(rows_of(table, month)).as_string()
        for table in TABLES
    ]
    commands = [argument for copy in copies for argument in ("-c", copy)]
    subprocess.run(
        [context.sandbox.bin_dir / "psql", "-X", "-q", *commands, url],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def dump_and_upload(context: BenchContext, url: str) -> None:
    """pg_dump of the rows set apart, piped into an upload."""
    command = [str(context.sandbox.bin_dir / "pg_dump"), "-Fc", "--schema=bench", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as dump:
        assert dump.stdout is not None
        context.bucket.client.upload_fileobj(dump.stdout, context.bucket.name, DUMP_KEY)
    assert dump.returncode == 0, "pg_dump failed"


def pandas_and_upload(context: BenchContext, connection: Connection, month: Month) -> None:
    """psycopg's rows through a data frame to Parquet, and an upload, table by table."""
    for table in TABLES:
        path = context.work_dir / f"{table}.parquet"
        _frame(connection, table, month).to_parquet(path, compression="zstd")
        context.bucket.client.upload_file(str(path), context.bucket.name, f"pandas/{table}")
        path.unlink()


def stored_bytes(context: BenchContext, prefix: str) -> int:
    """The size of the newest version of every key below ``prefix``."""
    newest = {}
    for version in sorted(versions(context.bucket, prefix), key=lambda v: v.last_modified):
        newest[version.key] = version.bytes
    return sum(newest.values())


def _frame(connection: Connection, table: str, month: Month) -> pd.DataFrame:
    with connection.cursor(binary=True) as cursor:
        cursor.execute(rows_of(table, month))
        columns = cursor.description
        assert columns is not None
        frame = pd.DataFrame(cursor.fetchall(), columns=[column.name for column in columns])
    # pandas can't write UUIDs and JSON documents to Parquet: users take their text.
    for column in columns:
        if column.type_code in _TEXT_IN_PANDAS:
            frame[column.name] = frame[column.name].map(str, na_action="ignore")
    return frame
