"""Loads a generation's objects into scratch tables: the path of every proof and of every thaw."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Final

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from psycopg import sql

from ft_ops.archive.copies.read import fetch
from ft_ops.archive.month.content import Column, Table
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.source import Source, scratch_source, scratch_table
from ft_ops.archive.run import Run
from ft_ops.archive.store.parquet import arrow_connection, read_batches
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.partitions import kept_to_owner
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import WrongContent, download

JSON: Final = frozenset({"json", "jsonb"})

_OTHER_BYTES: Final = "22P03"
"""PostgreSQL's invalid_binary_representation."""


@contextmanager
def loaded(
    run: Run,
    generation: Generation,
    *,
    purpose: str,
    as_target: bool = False,
    exactly: bool = False,
    digests: dict[str, RowDigest] | None = None,
) -> Iterator[Source]:
    """The generation's rows in unlogged scratch tables for a block; dropped after it.

    The tables are made from the columns that were exported: the live ones may have changed. With
    ``as_target`` they are what a thaw inserts into: with the NOT NULL and CHECK constraints and the
    generated columns of that day, and every value in its own type. Else a value that was archived
    as text stays text, which makes no difference to a digest.

    Where ``digests`` are asked for, the values that the files hold are added up by table.

    Every object must have the size and SHA-256 that the ledger knows. With ``exactly`` it is the
    version that the ledger names, else its second copy where that one can't be read.
    Scratch tables that a dead process left are dropped first.
    """
    content = generation.require_content()
    purpose = generation.scratch(purpose)
    names = {
        table.name: scratch_table(purpose, generation.month, generation.number, number)
        for number, table in enumerate(content)
    }
    staged = {
        table.name: f"{names[table.name]}_text"
        for table in content
        if as_target and any(column.as_text for column in table.stored)
    }
    drop_scratch(run.connection, [*names.values(), *staged.values()])
    try:
        for table in content:
            _create(run.connection, names[table.name], table, as_target=as_target)
            if table.name in staged:
                _create(run.connection, staged[table.name], table, as_target=False)
        with (
            arrow_connection(run.url) as arrow,
            closing(_copies(run, generation, exactly=exactly)) as copies,
        ):
            for item, path in copies:
                table = content[item.table]
                order = [column.name for column in table.stored]
                into = staged.get(table.name, names[table.name])
                adds = _ignore if digests is None else digests[item.table].add
                json = {c.name for c in table.stored if c.type in JSON and not c.as_text}
                rows = read_batches(path, order, run.pace, adds, json=json)
                with _naming(run, item):
                    _ingest(arrow, into, rows)
                run.log(f"loaded {item.table} part {item.part}: {item.rows:,} rows")
        for name, stage in staged.items():
            _cast(run.connection, content[name], stage, names[name])
        yield scratch_source(content, purpose, generation.month, generation.number)
    finally:
        drop_scratch(run.connection, [*names.values(), *staged.values()])


def drop_scratch(connection: Connection, names: Iterable[str]) -> None:
    """Drop scratch tables; on a connection that is of no use any more, the next run does it."""
    if not takes_statements(connection):
        return
    for name in names:
        connection.execute(
            statement("archive/drop_scratch").format(scratch=sql.Identifier("ops", name))
        )


def _create(connection: Connection, name: str, table: Table, *, as_target: bool) -> None:
    if as_target:
        parts = [_target_definition(column) for column in table.columns]
        parts += [
            sql.SQL("CONSTRAINT {} CHECK ({})").format(
                sql.Identifier(check.name), sql.SQL(check.definition)
            )
            for check in table.checks
            if check.valid
        ]
    else:
        parts = [
            sql.SQL("{} {}").format(
                sql.Identifier(column.name),
                sql.SQL("text" if column.as_text else column.type),
            )
            for column in table.stored
        ]
    scratch = sql.Identifier("ops", name)
    connection.execute(
        statement("archive/create_scratch").format(
            scratch=scratch, columns=sql.SQL(", ").join(parts)
        )
    )
    connection.execute(kept_to_owner(scratch))


def _target_definition(column: Column) -> sql.Composed:
    # Types and expressions are the catalog's own spelling, kept in the ledger.
    parts = [sql.Identifier(column.name), sql.SQL(column.type)]
    if column.generated is not None:
        parts.append(sql.SQL(f"GENERATED ALWAYS AS ({column.generated}) STORED"))
    if column.not_null:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def _cast(connection: Connection, table: Table, staged: str, name: str) -> None:
    """Give every value its own type, as a thaw does."""
    connection.execute(
        statement("archive/cast_scratch").format(
            scratch=sql.Identifier("ops", name),
            columns=sql.SQL(", ").join(sql.Identifier(c.name) for c in table.stored),
            values=sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Identifier(c.name), sql.SQL(c.type))
                for c in table.stored
            ),
            staged=sql.Identifier("ops", staged),
        )
    )


def _copies(
    run: Run, generation: Generation, *, exactly: bool
) -> Generator[tuple[ArchivedObject, Path], None, None]:
    """Each part with a local copy of it, which goes when the next is taken.

    The next part comes while one is loaded. The files have no name: a process that is killed
    leaves nothing behind, and the path leads to them by their descriptor.
    """
    parts = generation.parts()
    with (
        ExitStack() as files,
        ThreadPoolExecutor(1, thread_name_prefix="download") as pool,
    ):

        def start(item: ArchivedObject) -> tuple[IO[bytes], Future[None]]:
            file = files.enter_context(tempfile.TemporaryFile(prefix="ft-archive-"))
            if exactly:
                return file, pool.submit(download, run.bucket, item.stored, _path(file))
            return file, pool.submit(fetch, run, item.stored, _path(file))

        ahead = [start(item) for item in parts[:1]]
        for item, following in zip(parts, [*parts[1:], None], strict=True):
            file, arrival = ahead.pop()
            arrival.result()
            if following is not None:
                ahead.append(start(following))
            yield item, _path(file)
            file.close()


def _ignore(batch: pa.RecordBatch) -> None:
    """Where nobody asks for a digest."""


def _path(file: IO[bytes]) -> Path:
    return Path(f"/dev/fd/{file.fileno()}")


@contextmanager
def _naming(run: Run, item: ArchivedObject) -> Iterator[None]:
    """WrongContent about an object whose values PostgreSQL does not take for the ledger's types.

    Only of a value's bytes: what else a table refuses, as a generated column whose function was
    replaced, says nothing against the object.
    """
    try:
        yield
    except adbc.DataError as error:
        if error.sqlstate != _OTHER_BYTES:
            raise
        raise WrongContent(
            run.bucket.url(item.stored.key),
            cause=f"its values are not of the types that the ledger names: {str(error).strip()}",
            next_step="see whether the table's columns were altered while it was exported",
        ) from error


def _ingest(arrow: adbc.Connection, table: str, rows: pa.RecordBatchReader) -> None:
    with arrow.cursor() as cursor:
        cursor.adbc_ingest(table, rows, mode="append", db_schema_name="ops")
