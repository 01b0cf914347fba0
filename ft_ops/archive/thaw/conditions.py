"""What must hold for an archived row to come back into today's tables, as SQL over one row."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from ft_ops.archive.month.content import KEYS, Content, Table
from ft_ops.archive.month.source import matches

TRUE = sql.SQL("true")
FALSE = sql.SQL("false")


def references_hold(table: Table, alias: str) -> sql.Composable:
    """Whether every row that it refers to is there, outside of the content: its maker, say.

    A foreign key that is set to NULL when that row goes is set to NULL (see `values_of`).
    """
    return _all(
        _is_there(alias, r.columns, sql.Identifier(r.schema, r.table), r.parent_columns)
        for r in table.references
        if not r.sets_null
    )


def parents_hold(table: Table, content: Content, alias: str) -> sql.Composable:
    """Whether everything that it belongs to is in the database."""
    firsts = {path[0]: None for path in table.paths}
    return _all(
        _is_there(
            alias,
            hop.columns,
            sql.Identifier("public", KEYS)
            if hop.parent == KEYS
            else content[hop.parent].identifier,
            hop.parent_columns,
        )
        for hop in firsts
    )


def ends_deleted(table: Table, alias: str) -> sql.Composable:
    """Whether a segment that it belongs to was deleted by itself."""
    tests = [
        sql.SQL(
            "EXISTS (SELECT FROM ops.erasures AS e WHERE e.kind = 'segment' AND e.id = {}"
            " AND NOT e.used_again)"
        ).format(sql.Identifier(alias, path[0].columns[0]))
        for path in table.paths
        if path[0].parent == KEYS and path[0].parent_columns == ("id",)
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(tests)) if tests else FALSE


def is_deleted(table: str, keys: Iterable[sql.Composable]) -> sql.Composed:
    """Whether a row of a table of today itself was deleted, under whatever name the table had.

    A tombstone has the key that the table had on its day; ``keys`` are the row's, as texts.
    """
    return sql.SQL(
        "EXISTS (SELECT FROM ops.erased_rows AS e WHERE e.key IN ({1})"
        " AND e.table_name IN (SELECT ops.names_of({0})))"
    ).format(sql.Literal(table), sql.SQL(", ").join(keys))


def violation(table: Table, alias: str, *, unless_not_valid: bool = False) -> sql.Composed:
    """The first constraint of today that it does not meet, in words; NULL when it meets all.

    With ``unless_not_valid`` those constraints don't count that hold for new rows only.
    """
    arms = [
        sql.SQL("WHEN x.{} IS NULL THEN {}").format(
            sql.Identifier(column.name), sql.Literal(f"{column.name} is NULL, and may not be now")
        )
        for column in table.stored
        if column.not_null
    ]
    arms += [
        sql.SQL("WHEN NOT ({}) THEN {}").format(
            sql.SQL(check.definition), sql.Literal(f"they do not meet the CHECK {check.name}")
        )
        for check in table.checks
        if check.valid or not unless_not_valid
    ]
    if not arms:
        return sql.SQL("NULL::text").format()
    # Below a SELECT of their own, where the columns' names are this row's and nobody else's.
    return sql.SQL("(SELECT CASE {} END FROM (SELECT {}.*) AS x)").format(
        sql.SQL(" ").join(arms), sql.Identifier(alias)
    )


def values_of(table: Table, alias: str) -> sql.Composed:
    """The row's values, named; a foreign key whose row is gone is NULL where that is its rule."""
    cleared = {
        column: _is_there(alias, r.columns, sql.Identifier(r.schema, r.table), r.parent_columns)
        for r in table.references
        if r.sets_null
        for column in r.columns
    }
    parts = []
    for column in table.stored:
        value: sql.Composable = sql.Identifier(alias, column.name)
        if column.name in cleared:
            value = sql.SQL("CASE WHEN {} THEN {} END").format(cleared[column.name], value)
        parts.append(sql.SQL("{} AS {}").format(value, sql.Identifier(column.name)))
    return sql.SQL(", ").join(parts)


def _is_there(
    alias: str, columns: Iterable[str], relation: sql.Composable, parent_columns: Iterable[str]
) -> sql.Composed:
    """A foreign key holds as PostgreSQL says: also when one of its columns is NULL."""
    names = tuple(columns)
    nulls = sql.SQL(" OR ").join(
        sql.SQL("{} IS NULL").format(sql.Identifier(alias, name)) for name in names
    )
    return sql.SQL("({} OR EXISTS (SELECT FROM {} AS r WHERE {}))").format(
        nulls, relation, matches(alias, names, "r", parent_columns)
    )


def _all(tests: Iterable[sql.Composable]) -> sql.Composable:
    found = list(tests)
    return sql.SQL("({})").format(sql.SQL(" AND ").join(found)) if found else TRUE


def stored_names(table: Table) -> sql.Composed:
    """The names of the columns that are inserted: the others are computed."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in table.stored)
