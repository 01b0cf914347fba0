"""What the archive's benchmarks share: the month as others would read, dump and upload it."""

from __future__ import annotations

import subprocess
from typing import Final, LiteralString

import pandas as pd
from psycopg import adapters, sql

from bench.frame import BenchContext
from ft_ops.archive.content import TABLES
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.objects import versions

PART_BYTES: Final = 256 << 20
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


def rows_of(table: str, month: Month) -> sql.Composed:
    """The rows of one table that an archive of ``month`` holds, by the shortest query."""
    segments = sql.Identifier(f"archived_content_segments_{month.suffix}")
    return sql.SQL(_ROWS[table]).format(segments=segments)


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
