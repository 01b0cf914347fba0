"""Loads a generation's objects into scratch tables: the path of every proof and of every thaw."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from psycopg import sql

from ft_ops.archive.month.content import (
    TABLES,
    Column,
    Source,
    TableColumns,
    scratch_source,
    scratch_table,
)
from ft_ops.archive.month.ledger import ArchivedObject, Generation
from ft_ops.archive.store.parquet import arrow_connection, read_batches
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import download


@dataclass(frozen=True, slots=True)
class Loaded:
    """A generation's rows in scratch tables, with the columns that they had when exported."""

    source: Source
    columns: TableColumns


@contextmanager
def loaded(
    connection: Connection,
    url: str,
    bucket: Bucket,
    generation: Generation,
    *,
    purpose: str,
    pace: Pace = FULL_SPEED,
    log: Callable[[str], None] = lambda line: None,
) -> Iterator[Loaded]:
    """The generation's rows in unlogged scratch tables for a block; dropped after it.

    The tables are made from the columns that were exported: the live ones may have changed. Every
    object is read by its version and must have the size and SHA-256 that the ledger knows.
    Scratch tables that a dead process left are dropped first.
    """
    columns = generation.require_columns()
    names = {
        table: scratch_table(purpose, generation.month, generation.number, table)
        for table in TABLES
    }
    drop_scratch(connection, names.values())
    try:
        for table, name in names.items():
            connection.execute(
                statement("archive/create_scratch").format(
                    scratch=sql.Identifier("ops", name), columns=_definitions(columns[table])
                )
            )
        with arrow_connection(url) as arrow, closing(_copies(bucket, generation)) as copies:
            for item, path in copies:
                order = [column.name for column in columns[item.table]]
                _ingest(arrow, names[item.table], read_batches(path, order, pace))
                log(f"loaded {item.table} part {item.part}: {item.rows:,} rows")
        yield Loaded(scratch_source(purpose, generation.month, generation.number), columns)
    finally:
        drop_scratch(connection, names.values())


def drop_scratch(connection: Connection, names: Iterable[str]) -> None:
    """Drop scratch tables; on a connection that is of no use any more, the next run does it."""
    if not takes_statements(connection):
        return
    for name in names:
        connection.execute(
            statement("archive/drop_scratch").format(scratch=sql.Identifier("ops", name))
        )


def _definitions(columns: tuple[Column, ...]) -> sql.Composed:
    # A type is format_type's own spelling, kept in the ledger.
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type))
        for column in columns
    )


def _copies(
    bucket: Bucket, generation: Generation
) -> Generator[tuple[ArchivedObject, Path], None, None]:
    """Each part of the four tables with a local copy of it, which goes when the next is taken.

    The next part comes while one is loaded. The files have no name: a process that is killed
    leaves nothing behind, and the path leads to them by their descriptor.
    """
    parts = [item for item in generation.objects if item.table in TABLES]
    with (
        ExitStack() as files,
        ThreadPoolExecutor(1, thread_name_prefix="download") as pool,
    ):

        def fetch(item: ArchivedObject) -> tuple[IO[bytes], Future[None]]:
            file = files.enter_context(tempfile.TemporaryFile(prefix="ft-archive-"))
            return file, pool.submit(download, bucket, item.stored, _path(file))

        ahead = [fetch(item) for item in parts[:1]]
        for item, following in zip(parts, [*parts[1:], None], strict=True):
            file, arrival = ahead.pop()
            arrival.result()
            if following is not None:
                ahead.append(fetch(following))
            yield item, _path(file)
            file.close()


def _path(file: IO[bytes]) -> Path:
    return Path(f"/dev/fd/{file.fileno()}")


def _ingest(arrow: adbc.Connection, table: str, rows: pa.RecordBatchReader) -> None:
    with arrow.cursor() as cursor:
        cursor.adbc_ingest(table, rows, mode="append", db_schema_name="ops")
