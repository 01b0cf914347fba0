"""Streams between PostgreSQL, Arrow and Parquet, in bounded memory.

Python objects and pandas stay out of this path: they would turn 1.10 into 1.1 and a nullable
9007199254740993 into …992. ADBC keeps every type, and Parquet keeps ADBC's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any
from uuid import UUID

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq
from adbc_driver_postgresql import StatementOptions

from ft_ops.archive.month.generation import ArchivedObject
from ft_ops.archive.store.encoding import encoding_of
from ft_ops.errors import OpsError
from ft_ops.pg.connect import SESSION, connection_string, describe
from ft_ops.pg.pace import Pace
from ft_ops.pg.session import LATE, differing, refuse_lost
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.upload import UploadOnce
from ft_ops.spans import of_statement

ROW_GROUP_BYTES = 24 << 20
"""Before compression. What repeats is found within a row group alone: with a third of it the files
are a fortieth larger. Two of them are in memory for each table that is exported."""

_PAGE_BYTES = 4 * ROW_GROUP_BYTES
"""Of a column's page: a row group has one, because each is compressed alone. With the usual 1 MB
the files are a tenth larger."""

STEP_BYTES = 1 << 20
"""What is read at once, roughly: beside others, each step is followed by a rest, and many short
steps disturb less than a few long ones."""

STEP_ROWS = 4000
"""What is loaded at once, for the same reason."""

_BATCH_OPTION = StatementOptions.BATCH_SIZE_HINT_BYTES.value

_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # The sort of a month: 200,000 segments stay in memory, and the many runs on disk into which
        # a server's usual 4 MB would cut a larger month become few.
        "work_mem": "160MB",
        # One scan a table: compiling its plan takes longer than it gains.
        "jit": "off",
    }
)
"""What these sessions set besides what every operations session does."""


@contextmanager
def arrow_connection(url: str) -> Iterator[adbc.Connection]:
    """An ADBC connection for a block, each of whose statements is a transaction."""
    conninfo = connection_string(url, application="archive", settings=_SETTINGS)
    try:
        with _connected(conninfo) as connection:
            _require_pinned(connection, describe(url))
            connection.adbc_connection.set_autocommit(True)
            yield connection
    except adbc_driver_manager.Error as error:
        raise OpsError(
            "Arrow connection to the database",
            cause=str(error).strip(),
            next_step="correct the cause and run again; the month is unchanged",
        ) from error


def read_snapshot(connection: adbc.Connection, snapshot: str) -> None:
    """Read an exported snapshot from now on."""
    connection.adbc_connection.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")


def write_no_more(connection: adbc.Connection) -> None:
    """Write to nothing but temporary tables from now on, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")


def _require_pinned(connection: adbc.Connection, place: str) -> None:
    """Refuse a session that is not as it was asked for, as `connect` does."""
    with connection.cursor() as cursor:
        cursor.execute(LATE)
        cursor.fetchall()
        cursor.execute(differing({**SESSION, **_SETTINGS}).as_string())
        refuse_lost(place, [str(row[0]) for row in cursor.fetchall()])
    connection.commit()


_database: dict[str, adbc.Connection] = {}
"""The database that was opened last, as a connection whose session has ended: it can be cloned."""

_opening = Lock()


def _connected(conninfo: str) -> adbc.Connection:
    """A new connection to the database that is open, or to another, which is opened for it.

    ADBC learns a database's types when it opens it, at 0.1 s of a processor, more with more
    tables. This process's later connections know them.
    """
    with _opening:
        if conninfo not in _database:
            opened = adbc.connect(conninfo)
            opened.adbc_connection.close()
            while _database:
                _database.popitem()[1].close()
            _database[conninfo] = opened
        return _database[conninfo].adbc_clone()


def write_parts(
    connection: adbc.Connection,
    query: str,
    bucket: Bucket,
    table: str,
    keys: Iterator[str],
    *,
    part_bytes: int,
    pace: Pace,
    seen: Callable[[pa.Table], None],
) -> Iterator[ArchivedObject]:
    """Run ``query`` and stream its rows into as many objects as ``part_bytes`` asks for.

    A part ends with the first row group that takes it past ``part_bytes``. There is always at
    least one part, so that an empty table keeps its columns and types. ``seen`` is told the rows
    of each row group, while they are written and the next are read.
    """
    with connection.cursor() as cursor, ThreadPoolExecutor(1) as beside:
        cursor.adbc_statement.set_options(**{_BATCH_OPTION: str(STEP_BYTES)})
        began = pace.clock()
        with of_statement("archive/read_for_export", {"db.collection.name": table}):
            cursor.execute(query)
        pace.rest_since(began)
        reader = cursor.fetch_record_batch()
        groups = _told(
            _row_groups(map(_without_json, pace.steps(reader))),
            lambda group: beside.submit(seen, group),
            pace,
        )
        group = next(groups, None)
        for number, key in enumerate(keys):
            rows = 0
            first = _plain(reader.schema).empty_table() if group is None else group
            with UploadOnce(bucket, key) as sink, _writer(sink, first) as writer:
                del first
                while group is not None and not (rows and sink.tell() >= part_bytes):
                    writer.write_table(group)
                    rows += group.num_rows
                    # Before the next is read: it is as large.
                    group = None
                    group = next(groups, None)
            yield ArchivedObject(table, number, rows, sink.stored, _bounds(writer.writer.metadata))
            if group is None:
                return


def _told(
    groups: Iterable[pa.Table], tell: Callable[[pa.Table], Future[None]], pace: Pace
) -> Iterator[pa.Table]:
    """The groups; each has been told when the next is handed out, and the last at the end.

    Beside others it has been told before it is handed out: two threads would take two cores.
    """
    telling: Future[None] | None = None
    for group in groups:
        if telling is not None:
            telling.result()
        telling = tell(group)
        if pace.is_beside_others():
            telling.result()
        yield group
        del group
    if telling is not None:
        telling.result()


def _bounds(footer: pq.FileMetaData) -> tuple[tuple[str, str, str], ...]:
    """The bounds of each column of ids or moments that has some, by its statistics."""
    schema = footer.schema.to_arrow_schema()
    found = []
    for number in range(footer.num_columns):
        # A value of a list has another path, and no bounds.
        name = footer.schema.column(number).path
        if name in schema.names and _is_id_or_moment(schema.field(name).type):
            chunks = [footer.row_group(n).column(number) for n in range(footer.num_row_groups)]
            bounds = _bounds_of(schema.field(name).type, [c.statistics for c in chunks])
            if bounds is not None:
                found.append((name, *bounds))
    return tuple(found)


def _is_id_or_moment(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType) or pa.types.is_timestamp(kind)


def _bounds_of(kind: pa.DataType, statistics: Sequence[Any]) -> tuple[str, str] | None:
    """From the row groups that have values; None where one has no bounds, or none has values."""
    filled = [s for s in statistics if s is None or s.num_values]
    ends = [(s.min_raw, s.max_raw) for s in filled if s is not None and s.has_min_max]
    if not filled or len(ends) < len(filled):
        return None
    try:
        return (
            _as_text(kind, min(least for least, _ in ends)),
            _as_text(kind, max(greatest for _, greatest in ends)),
        )
    except OverflowError:
        return None  # a moment beyond the years of Python


def _as_text(kind: pa.DataType, raw: Any) -> str:
    if isinstance(kind, pa.UuidType):
        return str(UUID(bytes=raw))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=raw)
    zoned = isinstance(kind, pa.TimestampType) and kind.tz is not None
    return (moment if zoned else moment.replace(tzinfo=None)).isoformat()


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows of ``batches`` in pieces of at least ROW_GROUP_BYTES, but for the last.

    They are not copied together: a piece keeps the batches that it was read in.
    """
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
            size += batch.nbytes
        if size >= ROW_GROUP_BYTES:
            group = pa.Table.from_batches(held)
            held, size = [], 0
            yield group
            del group
        del batch
    if held:
        yield pa.Table.from_batches(held)


def read_batches(
    path: Path,
    columns: list[str],
    pace: Pace,
    seen: Callable[[pa.RecordBatch], None] = lambda batch: None,
    *,
    json: Collection[str] = (),
) -> pa.RecordBatchReader:
    """The rows of a downloaded part, a few at a time, in the order of ``columns``.

    ``seen`` is told of them as they are read. ``json`` names columns of json or jsonb, which may be
    plain strings in the file.
    """
    file = pq.ParquetFile(path)
    fields = [file.schema_arrow.field(name) for name in columns]
    schema = pa.schema([f.with_type(pa.json_()) if f.name in json else f for f in fields])

    def batches() -> Iterator[pa.RecordBatch]:
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(STEP_ROWS, row_groups=[group], columns=columns):
                selected = batch.select(columns)
                seen(selected)
                yield with_json(selected, json)

    return pa.RecordBatchReader.from_batches(schema, pace.steps(batches()))


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with JSON as plain strings: Iceberg and others refuse Parquet's type for it."""
    fields = [
        field.with_type(pa.string()) if isinstance(field.type, pa.JsonType) else field
        for field in schema
    ]
    return pa.schema(fields)


def _without_json(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows; of JSON its text. What it is, the manifest says."""
    columns = [
        column.cast(pa.string()) if isinstance(column.type, pa.JsonType) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_plain(batch.schema))


def with_json(batch: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    """The same rows; JSON again where ``names`` say so, for a database to load."""
    columns = [
        pa.ExtensionArray.from_storage(pa.json_(), column.cast(pa.string()))
        if name in names and not isinstance(column.type, pa.JsonType)
        else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    fields = [
        field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _writer(sink: UploadOnce, first: pa.Table) -> pq.ParquetWriter:
    """A writer of rows that begin with ``first``."""
    encoding = encoding_of(first)
    return pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),  # type: ignore[arg-type]  # a file in all that is called
        first.schema,
        compression="zstd",
        compression_level=encoding.levels,
        use_dictionary=encoding.dictionaries,  # type: ignore[arg-type]
        data_page_size=_PAGE_BYTES,
        write_statistics=True,
        store_schema=True,
    )
