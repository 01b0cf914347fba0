"""Exports an archived month: PostgreSQL → Arrow → Parquet → S3, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

import adbc_driver_postgresql.dbapi as adbc
import psycopg

from ft_ops.archive.month.content import (
    TABLES,
    Source,
    TableColumns,
    column_list,
    live_columns,
)
from ft_ops.archive.month.ledger import (
    ArchivedObject,
    Generation,
    enter,
    month_source,
    record_export,
)
from ft_ops.archive.store.content_index import SUBJECTS, SubjectsWriter, list_object
from ft_ops.archive.store.layout import generation_prefixes, manifest_key, part_key
from ft_ops.archive.store.parquet import arrow_connection, write_parts
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.pg.session import stay_open
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import Version, delete_version, versions
from ft_ops.s3.upload import HalfUpload, UploadOnce, abort_upload, half_uploads


@dataclass(frozen=True, slots=True)
class ArchiveTarget:
    """Where and how exports are written. ``part_bytes`` is compressed."""

    bucket: Bucket
    prefix: str
    part_bytes: int
    pace: Pace = FULL_SPEED


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
    """Write a generation's objects, and record them.

    ``source`` is the month in the database unless it is given. All tables are read in one
    snapshot. What a dead predecessor wrote of this generation was never recorded, proves nothing,
    and is removed first; the rows are all still in the database. Refused where a manifest lies
    among it: only proven generations have one, and it may be the only copy of its rows.
    """
    # Listed before the ledger is asked, removed afterwards: a run that has lost its connection,
    # and with it the month's lock, without noticing, can't remove what its successor has written.
    left = list(_unrecorded_objects(target, generation))
    _refuse_proven(target, generation, left)
    generation = enter(connection, generation, "exporting", run_id)
    for leftover in left:
        _discard(target.bucket, leftover)
        log(f"removed {leftover.key}, which no run has recorded")
    columns = live_columns(connection)
    source = source or month_source(connection, generation)
    job = _Export(url, target, generation, source, columns, log)
    with _exported_snapshot(url) as snapshot:
        objects = _export(job, snapshot)
    return record_export(connection, generation, objects, columns)


def _unrecorded_objects(
    target: ArchiveTarget, generation: Generation
) -> Iterator[Version | HalfUpload]:
    """Everything below the folders of a generation that has no recorded object yet."""
    tables = (*TABLES, SUBJECTS)
    for prefix in generation_prefixes(target.prefix, tables, generation.month, generation.number):
        yield from versions(target.bucket, prefix)
        yield from half_uploads(target.bucket, prefix)


def _refuse_proven(
    target: ArchiveTarget, generation: Generation, left: Iterable[Version | HalfUpload]
) -> None:
    key = manifest_key(target.prefix, generation.month, generation.number)
    if any(isinstance(leftover, Version) and leftover.key == key for leftover in left):
        raise Refused(
            f"export of {generation.name}",
            cause=f"s3://{target.bucket.name}/{key} is the manifest of a proven generation that "
            "this database's ledger does not know: the database was recovered to an earlier "
            "moment, or the folder is another database's",
            next_step="set FT_ARCHIVE_PREFIX to a folder of this database's own; nothing was "
            "removed, and docs/archive-format.md tells how to read what lies there",
        )


def _discard(bucket: Bucket, leftover: Version | HalfUpload) -> None:
    if isinstance(leftover, Version):
        delete_version(bucket, leftover.key, leftover.version_id)
    else:
        abort_upload(bucket, leftover)


@dataclass(frozen=True, slots=True)
class _Export:
    """What the threads of one export share."""

    url: str
    target: ArchiveTarget
    generation: Generation
    source: Source
    columns: TableColumns
    log: Callable[[str], None]

    def key(self, table: str, part: int) -> str:
        return part_key(
            self.target.prefix, table, self.generation.month, self.generation.number, part
        )


@contextmanager
def _exported_snapshot(url: str) -> Iterator[str]:
    """A snapshot that other connections may read, for a block."""
    with connect(url, application="archive snapshot") as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.read_only = True
        with holder.transaction():
            stay_open(holder)
            row = holder.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            yield row[0]


def _export(job: _Export, snapshot: str) -> tuple[ArchivedObject, ...]:
    """Export segments and, beside them, what belongs to them; and list whose they are.

    Beside others' work, one after the other: two sessions would take two cores from them.
    """
    sessions = 1 if job.target.pace.is_beside_others() else 2
    with (
        UploadOnce(job.target.bucket, job.key(SUBJECTS, 0)) as sink,
        arrow_connection(job.url, snapshot) as one,
        arrow_connection(job.url, snapshot) as other,
    ):
        subjects = SubjectsWriter(sink)
        with ThreadPoolExecutor(sessions, thread_name_prefix="export") as pool:
            running = [
                pool.submit(_export_tables, job, arrow, tables, subjects)
                for arrow, tables in ((one, TABLES[:1]), (other, TABLES[1:]))
            ]
            objects = [item for future in running for item in future.result()]
        subjects.close()
    return (*objects, list_object(subjects.rows, sink))


def _export_tables(
    job: _Export, arrow: adbc.Connection, tables: Sequence[str], subjects: SubjectsWriter
) -> list[ArchivedObject]:
    """Export some tables over a connection of their own."""
    objects = []
    for table in tables:
        alias = "s" if table == "content_segments" else "c"
        query = statement(f"archive/export_{table}").format(
            columns=column_list(job.columns[table], alias), **job.source.relations()
        )
        parts = write_parts(
            arrow,
            query.as_string(),
            job.target.bucket,
            table,
            (job.key(table, part) for part in count()),
            part_bytes=job.target.part_bytes,
            pace=job.target.pace,
            seen=partial(subjects.add, table),
        )
        for item in parts:
            size = item.stored.bytes / 1e6
            job.log(f"{table} part {item.part}: {item.rows:,} rows, {size:,.1f} MB")
            objects.append(item)
    return objects
