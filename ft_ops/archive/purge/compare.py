"""Compares a batch of proven segments, and all that belongs to them, with their proof."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.archive.month.catalog import OtherReference
from ft_ops.archive.month.content import Content, column_list
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.source import joined, key_text, live_source
from ft_ops.archive.month.units import Units, hashed_by_table
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_BATCH = sql.Identifier("batch")
"""What archive/compare_batch calls its segments, with the columns that foreign keys may name."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How many segments of a batch may go and how many stay, and each list as an array's text.

    Nobody reads the lists here: they are sent back with the next statement. As objects, half a
    million of them would take longer than their deletion.
    """

    free: int
    free_ids: str
    stay: int
    stay_ids: str


def compare(
    connection: Connection,
    content: Content,
    table: Relation,
    units: Units,
    others: Sequence[OtherReference],
    in_batch: sql.Composable,
) -> Compared:
    """Which proven segments of a batch are what was proven, and held to by nothing else.

    ``in_batch`` is a condition on a unit u.

    What holds to one is a shared row that was not proven as it is now, or a row whose foreign key
    does not let it go along.
    """
    query = statement("archive/compare_batch").format(
        units=units.segments,
        segments=table.identifier,
        columns=column_list(content.segments.stored, "s"),
        in_batch=in_batch,
        belongings=_unions([*hashed_by_table(content, live_source(content, _BATCH))][1:]),
        bound=_unions(_bound(content, units, others)),
    )
    with connection.cursor(row_factory=class_row(Compared)) as cursor:
        return one_row(cursor.execute(query))


def _unions(queries: Iterable[sql.Composed]) -> sql.Composed:
    """Each query behind UNION ALL: the statement has the first."""
    return sql.Composed([sql.SQL(" UNION ALL {}").format(query) for query in queries])


def _bound(
    content: Content, units: Units, others: Sequence[OtherReference]
) -> Iterator[sql.Composed]:
    source = live_source(content, _BATCH)
    for number, table in enumerate(content):
        if table.is_shared:
            for path in table.paths:
                yield statement("archive/unproven_ends").format(
                    rows=joined(table.identifier, path, source),
                    columns=column_list(table.stored, "c"),
                    proven=units.shared,
                    key=key_text(table, "c"),
                    number=sql.Literal(number),
                )
    for other in others:
        for path in other.table.paths:
            yield sql.SQL("SELECT s.id FROM {}").format(
                joined(other.table.identifier, path, source)
            )
