"""Exports an archived month: PostgreSQL → Arrow → Parquet → S3, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import TypeAlias

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
from psycopg import sql

from ft_ops.archive.month.catalog import obstacles, read_content
from ft_ops.archive.month.content import Content, Table
from ft_ops.archive.month.generation import ArchivedObject, Generation, Read
from ft_ops.archive.month.ledger import enter, month_source, record_export
from ft_ops.archive.month.source import Source, alias_of, rows_of
from ft_ops.archive.run import Run
from ft_ops.archive.store.content_index import ENDS, SUBJECTS, EndsWriter, SubjectsWriter
from ft_ops.archive.store.export_query import export_query, export_sessions, read_placed
from ft_ops.archive.store.layout import generation_prefixes, part_key
from ft_ops.archive.store.leftovers import discard, leftovers, refuse_proven
from ft_ops.archive.store.parquet import read_snapshot, write_no_more, write_parts
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import stay_open
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.upload import UploadOnce


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to export that are no month of segments in the database: what they are, and where.

    ``read`` is when they were; None: they are in the database, and the export reads them.
    """

    content: Content
    source: Source
    read: Read | None

    @property
    def is_live(self) -> bool:
        return self.read is None


def export_month(run: Run, generation: Generation, rows: Rows | None = None) -> Generation:
    """Write a generation's objects, and record them.

    Its rows are the month's in the database, unless ``rows`` are given. All tables are read in one
    snapshot. What a dead predecessor wrote of this generation was never recorded, proves nothing,
    and is removed first; the rows are all still there. Occupied where that is not allowed. Refused
    where a manifest lies among it that the bucket has a record of: only proven generations have
    one, and it may be the only copy of its rows.
    """
    if rows is None:
        _refuse_obstacles(run, generation)
    content = rows.content if rows else read_content(run.connection)
    left = leftovers(
        run.bucket,
        generation_prefixes(
            run.target.prefix,
            (*content.names, SUBJECTS, ENDS),
            generation.month,
            generation.number,
        ),
    )
    refuse_proven(run.target, generation.name, generation.month, generation.number, left)
    generation = enter(run.connection, generation, "exporting", run.run_id)
    if left:
        discard(run, generation, left)
    source = rows.source if rows else month_source(run.connection, generation, content)
    with (
        export_sessions(run.url, content, source) as sessions,
        _exported_snapshot(run.url, run.connection) as snapshot,
    ):
        kept = _with_what_arrow_keeps(snapshot.holder, content, source)
        job = _Export(run, generation, kept, source)
        objects = _export(job, sessions, snapshot.name)
        # While the export's sessions have the tables, which nobody alters then.
        if rows is None:
            _refuse_altered(run, generation, content)
    read = (rows and rows.read) or snapshot.read
    return record_export(run.connection, generation, objects, kept, read, job.digests())


def _refuse_obstacles(run: Run, generation: Generation) -> None:
    """Refused while a table of content can't be archived as it is."""
    found = obstacles(run.connection)
    if found:
        raise Refused(
            f"export of {generation.name}",
            cause="; ".join(map(str, found)),
            next_step="; ".join(dict.fromkeys(obstacle.next_step for obstacle in found)),
        )


def _refuse_altered(run: Run, generation: Generation, content: Content) -> None:
    """Refused when a table was altered between the look at its columns and the export's lock.

    A value would be in the files by another type than the ledger says, and could not be loaded.
    """
    altered = content.differences(read_content(run.connection))
    if altered:
        raise Refused(
            f"export of {generation.name}",
            cause="; ".join(altered),
            next_step=f"materialize {generation.asset} again: the month is exported as it is now. "
            "Nothing of this export was recorded",
        )


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """An exported snapshot, the session that holds it, and when it was taken."""

    name: str
    holder: Connection
    read: Read


@contextmanager
def _exported_snapshot(url: str, connection: Connection) -> Iterator[_Snapshot]:
    """A snapshot that other connections may read, for a block.

    Its session is idle in its transaction for as long as they do: no time-out may end it. Nobody
    takes another one until this one has its number, so that their order is that of the numbers.
    """
    with connect(url, application="archive snapshot") as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.read_only = True
        with holder.transaction():
            stay_open(holder)
            with connection.transaction():
                connection.execute(statement("archive/one_snapshot_at_once"))
                row = one_row(holder.execute("SELECT pg_export_snapshot(), clock_timestamp()"))
                [number] = one_row(connection.execute(statement("archive/next_sequence")))
            yield _Snapshot(row[0], holder, Read(row[1], number))


def _with_what_arrow_keeps(holder: Connection, content: Content, source: Source) -> Content:
    """The content with a column as text where one of its values has no like in Arrow.

    Those are arrays whose bounds do not begin at 1 or that have several dimensions, and moments
    beyond Arrow's years.
    """
    # What a table's own constraints exclude, the planner knows without reading a row.
    holder.execute("SET LOCAL constraint_exclusion = on")
    return Content(tuple(_kept_by_arrow(holder, table, source) for table in content))


def _kept_by_arrow(holder: Connection, table: Table, source: Source) -> Table:
    alias = alias_of(table)
    tests = {
        column.name: test
        for column in table.stored
        if not column.as_text
        and (test := _odd(column.type, sql.Identifier(alias, column.name))) is not None
    }
    rows = (
        sql.SQL("{} AS c").format(source[table.name]) if table.is_shared else rows_of(table, source)
    )
    if not tests or not _is_any(holder, rows, tests.values()):
        return table
    odd = {name for name, test in tests.items() if _is_any(holder, rows, [test])}
    columns = tuple(replace(c, as_text=c.as_text or c.name in odd) for c in table.columns)
    return replace(table, columns=columns)


def _is_any(holder: Connection, rows: sql.Composable, tests: Iterable[sql.Composable]) -> bool:
    """Whether one of the tests is true of a row."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(
        rows, sql.SQL(" OR ").join(tests)
    )
    return bool(one_row(holder.execute(query))[0])


def _odd(column_type: str, value: sql.Identifier) -> sql.Composed | None:
    """The test that finds values of a type that Arrow does not keep; None where it keeps all.

    Arrow counts moments from 1970, so some of those that PostgreSQL counts from 2000 are beyond it.
    Each is written so that the planner sees that the schema's constraints exclude it.
    """
    if column_type.endswith("[]"):
        test = sql.SQL(
            "cardinality({0}) <> 0 AND (array_ndims({0}) <> 1 OR array_lower({0}, 1) <> 1)"
        )
    elif column_type.startswith(("timestamp", "date")):
        test = sql.SQL("NOT isfinite({0}) OR {0} > '290000-01-01'")
    else:
        return None
    return sql.SQL("({})").format(test.format(value))


_Lists: TypeAlias = Sequence[SubjectsWriter | EndsWriter]
"""What is written beside the tables, from the same batches."""


@dataclass(frozen=True, slots=True)
class _Export:
    """What the threads of one export share."""

    run: Run
    generation: Generation
    content: Content
    source: Source
    added: dict[str, RowDigest] = field(default_factory=dict)

    def see(self, table: Table, lists: _Lists, rows: pa.Table) -> None:
        """Note whose rows are exported, and add them to their table's digest."""
        for one in lists:
            one.add(table, rows)
        columns = [column.name for column in table.stored]
        digest = self.added.setdefault(table.name, RowDigest())
        for batch in rows.select(columns).to_batches():
            digest.add(batch)

    def digests(self) -> dict[str, str]:
        """The digest of each table, of those without rows too."""
        return {table.name: str(self.added.get(table.name, RowDigest())) for table in self.content}

    def key(self, table: str, part: int) -> str:
        generation = self.generation
        return part_key(self.run.target.prefix, table, generation.month, generation.number, part)


def _export(
    job: _Export, sessions: tuple[adbc.Connection, adbc.Connection], snapshot: str
) -> tuple[ArchivedObject, ...]:
    """Export segments and, beside them, what belongs to them; list whose, and what links lead to.

    Beside others' work, one after the other: two sessions would take two cores from them.
    """
    run = job.run
    threads = 1 if run.pace.is_beside_others() else 2
    # The audit log has no rows that segments share.
    names = (SUBJECTS, ENDS) if job.content.shared else (SUBJECTS,)
    with ExitStack() as stack:
        sinks = [stack.enter_context(UploadOnce(run.bucket, job.key(name, 0))) for name in names]
        lists: _Lists = [SubjectsWriter(sinks[0]), *(EndsWriter(s, job.content) for s in sinks[1:])]
        with ThreadPoolExecutor(threads, thread_name_prefix="export") as pool:
            running = [
                pool.submit(step, job, arrow, snapshot, lists)
                for step, arrow in zip((_export_segments, _export_the_rest), sessions, strict=True)
            ]
            objects = [item for future in running for item in future.result()]
        for one in lists:
            one.close()
    written = zip(names, lists, sinks, strict=True)
    beside = [ArchivedObject(name, 0, one.rows, sink.stored) for name, one, sink in written]
    return (*objects, *beside)


def _export_segments(
    job: _Export, arrow: adbc.Connection, snapshot: str, lists: _Lists
) -> list[ArchivedObject]:
    read_snapshot(arrow, snapshot)
    write_no_more(arrow)
    return _export_tables(job, arrow, job.content.tables[:1], lists)


def _export_the_rest(
    job: _Export, arrow: adbc.Connection, snapshot: str, lists: _Lists
) -> list[ArchivedObject]:
    read_placed(arrow, snapshot, job.content, job.source, job.run.pace)
    return _export_tables(job, arrow, job.content.tables[1:], lists)


def _export_tables(
    job: _Export, arrow: adbc.Connection, tables: Sequence[Table], lists: _Lists
) -> list[ArchivedObject]:
    """Export some tables over a connection of their own."""
    objects = []
    for table in tables:
        parts = write_parts(
            arrow,
            export_query(table, job.source).as_string(),
            job.run.bucket,
            table.name,
            (job.key(table.name, part) for part in count()),
            part_bytes=job.run.target.part_bytes,
            pace=job.run.pace,
            seen=partial(job.see, table, lists),
        )
        for item in parts:
            size = item.stored.bytes / 1e6
            job.run.log(f"{table.name} part {item.part}: {item.rows:,} rows, {size:,.1f} MB")
            objects.append(item)
    return objects
