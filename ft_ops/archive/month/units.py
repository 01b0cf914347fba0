"""Which rows were proven, one by one: what a removal goes by.

A segment and every row that belongs to it alone are a unit; two hashes and a count tell whether it
is what it was. A shared row (a link) has hashes of its own, because it outlives the removal of one
of its ends in the archive of that end's month. Both lists are made when a generation is proven, or
when a month is thawed, and name what a removal may take: by id, and only as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from uuid import UUID

from psycopg import sql

from ft_ops.archive.month.content import Content, Table, column_list
from ft_ops.archive.month.digest import Digest, MonthDigests, pieces_of
from ft_ops.archive.month.in_thread import in_thread
from ft_ops.archive.month.source import (
    Source,
    alias_of,
    ends_of,
    key_text,
    matches,
    named_keys,
    rows_of,
)
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Hashes:
    """Two scratch tables: the hashes of rows by segment, and those of shared rows by key."""

    rows: sql.Identifier
    shared: sql.Identifier


@dataclass(frozen=True, slots=True)
class Units:
    """Two tables of the schema ops: what was proven of each segment, and of each shared row."""

    segments_name: str
    shared_name: str

    @property
    def segments(self) -> sql.Identifier:
        return sql.Identifier("ops", self.segments_name)

    @property
    def shared(self) -> sql.Identifier:
        return sql.Identifier("ops", self.shared_name)


@dataclass(frozen=True, slots=True)
class RemovalProgress:
    """What of a month was looked at, and went or was kept, as the ledger recorded with each batch.

    Segments are taken in the order of their ids: ``through`` is the last of them, None before the
    first batch. ``buckets`` are what a removal of an earlier version had done, which took a month
    by the buckets of its digest.
    """

    through: UUID | None = None
    buckets: frozenset[int] = frozenset()

    def covers(self, segment: sql.Composable) -> sql.Composed:
        """A condition, never null: whether the segment of this id was looked at."""
        return sql.SQL(
            "(({id} <= {through}::uuid) IS TRUE"
            " OR get_byte(uuid_send({id}), 15) = ANY ({buckets}::integer[]))"
        ).format(
            id=segment, through=sql.Literal(self.through), buckets=sql.Literal(sorted(self.buckets))
        )


def hashed(content: Content, source: Source) -> sql.Composed:
    """A query: the hashes of every row that belongs to one segment, the segments' included."""
    return sql.SQL(" UNION ALL ").join(hashed_by_table(content, source))


def hashed_by_table(content: Content, source: Source) -> Iterator[sql.Composed]:
    """The same, a query for each table, the segments' first."""
    for number, table in enumerate(content):
        if not table.is_shared:
            yield statement("archive/hashed_rows").format(
                number=sql.Literal(number),
                rows=rows_of(table, source),
                columns=column_list(table.stored, alias_of(table)),
            )


def hashed_shared(number: int, table: Table, source: Source) -> sql.Composed:
    """A query: the hashes of every row of a shared table that reaches a segment of the month."""
    names = [f"k{place}" for place in range(1, len(table.key) + 1)]
    return statement("archive/hashed_shared_rows").format(
        number=sql.Literal(number),
        key=key_text(table, "c"),
        keys=named_keys(table),
        ends=ends_of(table, source),
        rows=source[table.name],
        matches=matches("touched", names, "c", table.key),
        columns=column_list(table.stored, "c"),
    )


HashStep: TypeAlias = tuple[sql.Composed, sql.Identifier]
"""A query of hashes, and the scratch table that takes its rows."""


def hash_rows(
    sessions: Sequence[Connection],
    content: Content,
    source: Source,
    hashes: Hashes,
    pace: Pace = FULL_SPEED,
) -> MonthDigests:
    """Fill two scratch tables with the hashes of all rows; the digests that they add up to.

    The sessions work side by side, each in transactions of its own. Scratch tables have no other
    writer, so they need no common snapshot.
    """
    connection = sessions[0]
    connection.execute(statement("archive/create_hashes").format(hashes=hashes.rows))
    connection.execute(statement("archive/create_shared_hashes").format(hashes=hashes.shared))
    left = iter([*_queries(connection, content, source, hashes)])
    with ExitStack() as threads:
        working = [
            threads.enter_context(
                in_thread(session, partial(hash_steps, session, left, pace), name="hash")
            )
            for session in sessions
        ]
        try:
            wait(working, return_when=FIRST_EXCEPTION)
            for work in working:
                if work.done():
                    work.result()
        except BaseException:
            deque(left, maxlen=0)
            raise
    found: dict[str, dict[int, Digest]] = {name: {} for name in content.names}
    for number, bucket, rows, low, high in connection.execute(
        statement("archive/digest_hashes").format(hashes=hashes.rows, shared=hashes.shared)
    ):
        found[content.names[number]][bucket] = Digest(rows, int(low), int(high))
    return found


def hash_steps(session: Connection, left: Iterator[HashStep], pace: Pace) -> None:
    """Take the next step as long as one is left. When one fails, none is."""
    try:
        for query, into in pace.steps(left):
            session.execute(sql.SQL("INSERT INTO {} {}").format(into, query))
    except BaseException:
        deque(left, maxlen=0)
        raise


def create_units(connection: Connection, units: Units) -> None:
    """Make both tables, empty, in place of those that a dead run left."""
    drop_units(connection, units)
    connection.execute(statement("archive/create_units").format(units=units.segments))
    connection.execute(statement("archive/create_shared_units").format(units=units.shared))


def index_units(connection: Connection, units: Units) -> None:
    """Let each batch read its part of them only; once they are filled."""
    index_segments(connection, units)
    _index(connection, "index_shared_units", units.shared, f"{units.shared_name}_by_key")


def index_segments(connection: Connection, units: Units) -> None:
    """The same of the segments alone, if that is not done: nobody else writes to that table."""
    _index(connection, "index_units", units.segments, f"{units.segments_name}_by_id")


def _index(connection: Connection, name: str, table: sql.Identifier, index: str) -> None:
    query = statement(f"archive/{name}").format(units=table, index=sql.Identifier(index))
    connection.execute(query)
    connection.execute(statement("archive/analyze_units").format(units=table))


def drop_units(connection: Connection, units: Units) -> None:
    """Drop both tables; on a connection that is of no use any more, the next run does it."""
    if takes_statements(connection):
        for table in (units.segments, units.shared):
            connection.execute(statement("archive/drop_units").format(units=table))


def units_query(hashes: sql.Composable) -> sql.Composed:
    """A query: the units that the hashes of a table, or of a parenthesized query, add up to."""
    return statement("archive/units").format(hashes=hashes)


def _queries(
    connection: Connection, content: Content, source: Source, hashes: Hashes
) -> Iterator[HashStep]:
    """All steps, the longest first; the segments' in several pieces."""
    for number, table in enumerate(content):
        if table.is_shared:
            yield hashed_shared(number, table, source), hashes.shared
        elif table.paths:
            yield (
                statement("archive/hashed_rows").format(
                    number=sql.Literal(number),
                    rows=rows_of(table, source),
                    columns=column_list(table.stored, "c"),
                ),
                hashes.rows,
            )
    for piece in pieces_of(connection, source.segments):
        segments = Content(content.tables[:1])
        yield hashed(segments, source.with_segments(piece)), hashes.rows
