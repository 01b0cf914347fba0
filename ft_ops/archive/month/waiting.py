"""How a shared row is kept while it waits for its other end: each of its values as its text.

That is what the type's output function makes of it and its input function reads, so that each value
comes back as it was: JSON's own null, an array whose bounds do not begin at 1. By the names of the
columns, so that a migration which runs meanwhile changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from ft_ops.archive.month.content import Column, Table
from ft_ops.archive.month.evolution import Evolution, cast_type


def kept_while_waiting(table: Table, values: sql.Composable) -> sql.Composed:
    """A JSON document of a row whose ``values`` bear the columns' names; NULL is JSON's null."""
    names = [column.name for column in table.stored]
    # Not IS NOT NULL: that is false of a composite value one of whose fields is NULL.
    texts = [
        sql.SQL("CASE WHEN {0} IS DISTINCT FROM NULL THEN format('%s', {0}) END").format(
            sql.Identifier("x", name)
        )
        for name in names
    ]
    return sql.SQL(
        "(SELECT json_object(ARRAY[{}]::text[], ARRAY[{}]::text[]) FROM (SELECT {}) AS x)"
    ).format(sql.SQL(", ").join(map(sql.Literal, names)), sql.SQL(", ").join(texts), values)


def as_it_waits(table: Table, evolution: Evolution) -> sql.Composed:
    """The values of a row of `kept_while_waiting`, named as today, of today's types.

    Its document is ``w.row``. A column that came meanwhile has its default.
    """
    return sql.SQL(", ").join(
        sql.SQL("CASE {} ELSE {} END AS {}").format(
            sql.SQL(" ").join(_values(table, column, evolution)),
            _default(column),
            sql.Identifier(column.name),
        )
        for column in table.stored
    )


def _values(table: Table, column: Column, evolution: Evolution) -> Iterator[sql.Composed]:
    """Its value under each name that the column has and had."""
    before = sorted(
        name
        for of, name in evolution.renamed
        if of == table.name
        and name != column.name
        and evolution.column_today(of, name, frozenset()) == column.name
    )
    for name in (column.name, *before):
        yield sql.SQL("WHEN (w.row -> {0}) IS NOT NULL THEN (w.row ->> {0})::{1}").format(
            sql.Literal(name), cast_type(column.type)
        )


def _default(column: Column) -> sql.Composable:
    if column.default is None:
        return sql.SQL("NULL")
    return sql.SQL("CAST(({}) AS {})").format(sql.SQL(column.default), cast_type(column.type))
