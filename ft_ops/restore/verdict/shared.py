"""Rows with several owners, as links between segments: whose they are when the owners differ.

A link is part of the content that it leads from. One that leads to the subject from elsewhere comes
back too, when both ends are of one family; another family's content gets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from ft_ops.restore.read.graph import KEYS, SEGMENTS, ForeignKey, Scope, SubjectTable
from ft_ops.restore.read.rows import Copied
from ft_ops.restore.read.sides import Ids, among

_BOOKS = "public.memory_books"
_THREADS = "public.threads"


def ends_of(scope: Scope, table: SubjectTable) -> list[ForeignKey]:
    """The references of a table to the segments of its rows, in the order of its columns."""
    places = list(table.columns)
    ends = [owner for owner in scope.owners[table.name] if owner.parent == KEYS]
    return sorted(ends, key=lambda end: places.index(end.columns[0]))


def is_shared(scope: Scope, table: SubjectTable) -> bool:
    """Whether rows of a table belong to more than one segment."""
    return len(ends_of(scope, table)) > 1


def foreign_links(
    scope: Scope, copied: Mapping[str, Copied], links: Copied, ids: Ids
) -> tuple[str, str, sql.Composable]:
    """State, reason and condition of the rows that are another family's to bring back."""
    first, *others = ends_of(scope, links.table)
    known = ids.get(KEYS, frozenset())
    own = [_is_subjects(first, scope, copied, known)]
    own += [
        sql.SQL("({} AND {} IS NOT DISTINCT FROM {})").format(
            _is_subjects(other, scope, copied, known),
            _family(sql.Identifier("c", first.columns[0]), copied),
            _family(sql.Identifier("c", other.columns[0]), copied),
        )
        for other in others
    ]
    own += [
        among("c", owner, scope.catalog.tables[owner.parent], ids.get(owner.parent, frozenset()))
        for owner in scope.owners[links.table.name]
        if owner.parent != KEYS
    ]
    return (
        "conflict",
        "it leads here from another family's content",
        sql.SQL("NOT ({})").format(sql.SQL(" OR ").join(own)),
    )


def _is_subjects(
    end: ForeignKey, scope: Scope, copied: Mapping[str, Copied], known: frozenset[tuple[str, ...]]
) -> sql.Composable:
    was: sql.Composable = sql.SQL("false")
    if SEGMENTS in copied:
        # Whether it comes back is judged by itself; here it counts whose it was.
        was = sql.SQL(
            "EXISTS (SELECT FROM {rows} AS p WHERE p.id = {id}) AND NOT EXISTS"
            " (SELECT FROM content_segment_keys AS k WHERE k.id = {id})"
        ).format(rows=copied[SEGMENTS].rows, id=sql.Identifier("c", end.columns[0]))
    return sql.SQL("({} OR {})").format(
        among("c", end, scope.catalog.tables[end.parent], known), was
    )


def _family(segment: sql.Composable, copied: Mapping[str, Copied]) -> sql.Composable:
    """The family of a segment, which lives or is about to be brought back."""
    return sql.SQL(
        "(SELECT b.family_id FROM ({keys}) AS k JOIN ({threads}) AS t ON t.id = k.thread_id"
        " JOIN ({books}) AS b ON b.id = t.memory_book_id WHERE k.id = {segment} LIMIT 1)"
    ).format(
        keys=_with_missing("content_segment_keys", ("id", "thread_id"), copied.get(SEGMENTS)),
        threads=_with_missing("threads", ("id", "memory_book_id"), copied.get(_THREADS)),
        books=_with_missing("memory_books", ("id", "family_id"), copied.get(_BOOKS)),
        segment=segment,
    )


def _with_missing(table: str, columns: tuple[str, ...], copied: Copied | None) -> sql.Composable:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query: sql.Composable = sql.SQL("SELECT {} FROM {}").format(
        names, sql.Identifier("public", table)
    )
    if copied is None:
        return query
    return sql.SQL("{} UNION ALL SELECT {} FROM {} WHERE ft_state = 'missing'").format(
        query, names, copied.rows
    )
