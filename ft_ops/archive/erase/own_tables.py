"""The tables of an archive in their own shape, and what takes the erased out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from ft_ops.archive.month.content import Content, Table
from ft_ops.archive.month.evolution import Evolution
from ft_ops.archive.month.source import Source, ends_of, key_names, key_text, matches
from ft_ops.archive.thaw.conditions import FALSE, ends_deleted, is_deleted
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table as it was archived, and what today's schema says of its columns by their names then.

    ``name`` is what it is called today. ``makers`` name users, of which ``cleared`` are those that
    a deleted user leaves empty. ``keys`` are the keys by which tombstones name its rows: its own,
    and today's if its columns were there.
    """

    table: Table
    name: str
    author: str
    thread: str
    makers: tuple[str, ...]
    cleared: frozenset[str]
    keys: tuple[tuple[str, ...], ...]


def own_tables(archived: Content, today: Content, evolution: Evolution) -> list[OwnTable]:
    """The tables of an archive, the segments' first, with what today's schema says of them."""
    return [_own_table(table, today, evolution) for table in archived]


def _own_table(table: Table, today: Content, evolution: Evolution) -> OwnTable:
    name = evolution.table_today(table.name)
    now = next((other for other in today if other.name == name), table)
    has = frozenset(column.name for column in table.stored)
    called = {evolution.column_today(name, column, has): column for column in has}
    makers = [*table.makers, *(called[maker] for maker in now.makers if maker in called)]
    cleared = {called.get(r.columns[0]) for r in now.references if r.sets_null}
    todays_key = tuple(called[column] for column in now.key if column in called)
    return OwnTable(
        table,
        name,
        author=called.get("user_id", "user_id"),
        thread=called.get("thread_id", "thread_id"),
        makers=tuple(dict.fromkeys(makers)),
        cleared=frozenset(column for column in cleared if column in makers),
        keys=(table.key, todays_key) if len(todays_key) == len(now.key) else (table.key,),
    )


def content_of(tables: Sequence[OwnTable]) -> Content:
    """The same content, but that a maker who may be gone may be empty."""
    return Content(
        tuple(
            replace(
                own.table,
                columns=tuple(
                    replace(column, not_null=column.not_null and column.name not in own.cleared)
                    for column in own.table.columns
                ),
                first_format=False,
            )
            for own in tables
        )
    )


def deletions(own: OwnTable, source: Source) -> list[sql.Composed]:
    """What takes the erased out of a table's loaded rows, once they are out of its parents'."""
    table, rows = own.table, source[own.table.name]
    if not table.paths:
        return [
            statement("archive/erase_segments").format(
                rows=rows, kind=sql.Literal(kind), subject=sql.Identifier("c", column)
            )
            for kind, column in (("user", own.author), ("thread", own.thread), ("segment", "id"))
        ]
    keys = [key_text(table, "c", key=key, from_text=True) for key in own.keys]
    return [
        statement("archive/erase_rows").format(
            rows=rows,
            by_users=_by_users(own),
            deleted=is_deleted(own.name, keys),
            ends_deleted=ends_deleted(table, "c"),
        ),
        statement("archive/erase_homeless_rows").format(
            rows=rows,
            ends=ends_of(table, source),
            matches=matches("c", table.key, "ends", key_names(table)),
        ),
    ]


def clearances(own: OwnTable, source: Source) -> Iterator[sql.Composed]:
    """What a deleted user leaves empty in rows that stay, as the foreign key says."""
    for maker in own.makers:
        if maker in own.cleared:
            yield statement("archive/erase_makers").format(
                rows=source[own.table.name],
                maker=sql.Identifier(maker),
                its=sql.Identifier("c", maker),
            )


def _by_users(own: OwnTable) -> sql.Composable:
    tests = [
        sql.SQL(
            "EXISTS (SELECT FROM ops.erasures AS e WHERE e.kind = 'user' AND e.id = {}"
            " AND NOT e.used_again)"
        ).format(sql.Identifier("c", maker))
        for maker in own.makers
        if maker not in own.cleared
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(tests)) if tests else FALSE
