"""What an export asks the database: each table's rows with their family, in the archive's order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import adbc_driver_postgresql.dbapi as adbc
from psycopg import sql

from ft_ops.archive.month.content import Column, Content, Table
from ft_ops.archive.month.source import (
    Source,
    alias_of,
    ends_of,
    key_names,
    matches,
    named_keys,
    rows_of,
)
from ft_ops.archive.store.parquet import arrow_connection, read_snapshot, write_no_more
from ft_ops.pg.pace import Pace
from ft_ops.pg.sqlfiles import statement

_FAMILIES: Final = sql.Identifier("pg_temp", "segment_families")


@contextmanager
def export_sessions(
    url: str, content: Content, source: Source
) -> Iterator[tuple[adbc.Connection, adbc.Connection]]:
    """Two sessions that will read one snapshot, for a block that takes it: segments, and the rest.

    What the second writes to is made before: a session that reads a snapshot makes no table.
    """
    with arrow_connection(url) as one, arrow_connection(url) as other:
        if _has_threads(content.segments):
            _execute(other, "make_segment_families", source)
        yield one, other


def read_placed(
    session: adbc.Connection, snapshot: str, content: Content, source: Source, pace: Pace
) -> None:
    """Let the second session read the snapshot, and know of each segment its place and its family.

    The first reads the segments meanwhile, with their families: to hand these over would take
    longer than to find them out twice beside each other.
    """
    read_snapshot(session, snapshot)
    if _has_threads(content.segments):
        began = pace.clock()
        _execute(session, "fill_segment_families", source)
        # TimescaleDB refuses ANALYZE in a transaction that is read only; PostgreSQL does not.
        _execute(session, "analyze_segment_families", source)
        pace.rest_since(began)
    write_no_more(session)


def _execute(session: adbc.Connection, name: str, source: Source) -> None:
    with session.cursor() as cursor:
        cursor.execute(_text(name, source))


def _text(name: str, source: Source) -> str:
    names = {"segments": source.segments, "places": _places(source)}
    return statement(f"archive/{name}").format(**names).as_string()


def _places(source: Source) -> sql.Composed:
    return statement("archive/thread_places").format(segments=source.segments)


def export_query(table: Table, source: Source) -> sql.Composed:
    """The rows of one table with their family, those of one family and thread together.

    But for the segments themselves, for a session that has `read_placed`.
    """
    alias = alias_of(table)
    by_segment = _is_by_segment(table)
    placed = source.with_segments(_FAMILIES) if by_segment else source
    names = {
        "columns": sql.SQL(", ").join(_exported(column, alias) for column in table.stored),
        "family": sql.Identifier(table.family_column),
        "key": sql.SQL(", ").join(sql.Identifier(alias, name) for name in table.key),
        "places": _places(source),
    }
    if not table.is_shared:
        if not table.paths and not _has_threads(table):
            name = "export_plain_rows"
        else:
            name = "export_rows_by_segment" if by_segment else "export_rows"
        return statement(f"archive/{name}").format(rows=rows_of(table, placed), **names)
    name = "export_shared_rows_by_segment" if by_segment else "export_shared_rows"
    return statement(f"archive/{name}").format(
        keys=named_keys(table),
        ends=ends_of(table, placed),
        rows=source[table.name],
        matches=matches("touched", key_names(table), "c", table.key),
        **names,
    )


def _has_threads(segments: Table) -> bool:
    """Whether a month's rows have families: the audit log's have none."""
    return "thread_id" in {column.name for column in segments.columns}


def _is_by_segment(table: Table) -> bool:
    """Whether its rows reach their segments by what segment_families has."""
    return bool(table.paths) and all(path[-1].parent_columns == ("id",) for path in table.paths)


def _exported(column: Column, alias: str) -> sql.Composable:
    """A column as it is archived.

    Text is what the type's output function makes, as in a digest: of some types a cast to text is
    another one.
    """
    value = sql.Identifier(alias, column.name)
    if not column.as_text:
        return value
    text = sql.SQL("CASE WHEN {0} IS DISTINCT FROM NULL THEN format('%s', {0}) END AS {1}")
    return text.format(value, sql.Identifier(column.name))
