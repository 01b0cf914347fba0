"""Exports an archived month: PostgreSQL → Arrow → Parquet → S3, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psycopg

from ft_ops.archive.content import (
    TABLES,
    Source,
    TableColumns,
    column_list,
    live_columns,
    live_source,
)
from ft_ops.archive.digest import MonthDigests, month_digests, total
from ft_ops.archive.layout import generation_prefixes, manifest_key, part_key
from ft_ops.archive.ledger import (
    ArchivedObject,
    Generation,
    enter,
    record_export,
)
from ft_ops.archive.manifest import build_manifest
from ft_ops.archive.parquet import arrow_connection, write_parts
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect, connection_string
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, put_once, versions
from ft_ops.s3.upload import abort_uploads

SUBJECTS = "subjects"
"""The sidecar that lists whose content a month holds; it stays in STANDARD."""


@dataclass(frozen=True, slots=True)
class ArchiveTarget:
    """Where and how exports are written. ``part_bytes`` is compressed."""

    bucket: Bucket
    prefix: str
    part_bytes: int


def export_month(
    connection: Connection,
    url: str,
    target: ArchiveTarget,
    generation: Generation,
    *,
    source: Source | None = None,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
) -> Generation:
    """Write a generation's objects and manifest, and record them.

    ``source`` is the month in the database unless it is given. Everything is read in one
    snapshot, and the digests are the server's own of the same snapshot. What a dead predecessor
    wrote of this generation was never recorded, proves nothing, and is removed first; the rows
    are all still in the database.
    """
    generation = enter(connection, generation, "exporting", run_id)
    discard_unrecorded_objects(target, generation, log=log)
    columns = live_columns(connection)
    source = source or live_source(generation.month)
    with _snapshot(url) as (reader, snapshot), ThreadPoolExecutor(1) as digesting:
        pending = digesting.submit(month_digests, reader, source, columns)
        objects = tuple(_export_tables(url, snapshot, target, generation, source, columns, log))
        digests = pending.result()
    _refuse_other_counts(generation, objects, digests)
    body = build_manifest(
        generation,
        objects,
        columns,
        digests,
        bucket=target.bucket.name,
        server_version=str(connection.info.server_version),
    )
    key = manifest_key(target.prefix, generation.month, generation.number)
    return record_export(
        connection, generation, objects, put_once(target.bucket, key, body), digests
    )


def discard_unrecorded_objects(
    target: ArchiveTarget, generation: Generation, *, log: Callable[[str], None]
) -> None:
    """Remove what a dead run left below this generation's folders, half uploads included."""
    tables = (*TABLES, SUBJECTS)
    prefixes = generation_prefixes(target.prefix, tables, generation.month, generation.number)
    for prefix in prefixes:
        left = list(versions(target.bucket, prefix))
        for version in left:
            delete_version(target.bucket, version.key, version.version_id)
        uploads = abort_uploads(target.bucket, prefix)
        if left or uploads:
            log(f"removed {len(left)} unrecorded objects and {uploads} half uploads of {prefix}")


@contextmanager
def _snapshot(url: str) -> Iterator[tuple[Connection, str]]:
    """A second connection whose transaction exports its snapshot for the block."""
    reader = connect(url, application="archive digest")
    try:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.read_only = True
        with reader.transaction():
            row = reader.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            yield reader, row[0]
    finally:
        reader.close()


def _export_tables(
    url: str,
    snapshot: str,
    target: ArchiveTarget,
    generation: Generation,
    source: Source,
    columns: TableColumns,
    log: Callable[[str], None],
) -> Iterator[ArchivedObject]:
    month, number = generation.month, generation.number
    with arrow_connection(connection_string(url, application="archive"), snapshot) as arrow:
        for table in (*TABLES, SUBJECTS):
            values = (
                {}
                if table == SUBJECTS
                else {
                    "columns": column_list(
                        columns[table], "s" if table == "content_segments" else "c"
                    )
                }
            )
            query = statement(f"archive/export_{table}").format(**source.relations(), **values)
            keys = (part_key(target.prefix, table, month, number, part) for part in count())
            for item in write_parts(
                arrow,
                query.as_string(),
                target.bucket,
                table,
                keys,
                part_bytes=target.part_bytes,
            ):
                log(
                    f"{table} part {item.part}: {item.rows:,} rows, "
                    f"{item.stored.bytes / 1e6:,.1f} MB"
                )
                yield item


def _refuse_other_counts(
    generation: Generation, objects: tuple[ArchivedObject, ...], digests: MonthDigests
) -> None:
    for table in TABLES:
        written = sum(item.rows for item in objects if item.table == table)
        expected = total(digests[table]).rows
        if written != expected:
            raise OpsError(
                f"export of {table} of {generation.name}",
                cause=f"{written} rows were written, the same snapshot holds {expected}",
                next_step="run it again; if it repeats, compare the export's query with the "
                "digest's",
            )
