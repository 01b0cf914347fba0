"""How rows that were archived under an earlier schema become rows of today's.

A column that came later takes its default, one that was dropped stays in the archive, a type that
changed is cast. What nobody can tell from two descriptions, a migration declares in
`ops.column_changes`: that a column (or, with an empty column name, a table) was renamed, that one
was dropped although another came, and which value archived rows get where the schema of today asks
for one that they don't have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from ft_ops.archive.month.content import Column, Content, Table
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

NO_COLUMN = ""
"""In the place of a column's name: the change is the table's."""


@dataclass(frozen=True, slots=True)
class Value:
    """What rows get that are of a time before ``declared_at``, or that lack the column.

    It is an SQL expression over their own columns.
    """

    expression: str
    declared_at: datetime


@dataclass(frozen=True, slots=True)
class Evolution:
    """What migrations have declared, by table and column."""

    renamed: Mapping[tuple[str, str], str]
    dropped: Mapping[tuple[str, str], datetime]
    """With the moment of the declaration: a column of that name which came later is another."""
    added: frozenset[tuple[str, str]]
    values: Mapping[tuple[str, str], Value]
    same: Mapping[tuple[str, str], datetime]
    """Declared as renamed to what they are called: today's column is the one that was archived."""

    def table_today(self, name: str) -> str:
        """What a table that was archived under this name is called now."""
        seen = {name}
        while (new := self.renamed.get((name, NO_COLUMN))) is not None and new not in seen:
            seen.add(new)
            name = new
        return name

    def column_today(self, table: str, name: str, has: frozenset[str]) -> str:
        """What a column that was archived under this name is called now.

        ``has`` are the columns that were archived beside it: a name that one of these has was given
        to another column later.
        """
        seen = {name}
        while (new := self.renamed.get((table, name))) is not None and new not in seen | has:
            seen.add(new)
            name = new
        return name


def read_evolution(connection: Connection) -> Evolution:
    """What ops.column_changes holds: a few rows for the whole life of a schema."""
    renamed: dict[tuple[str, str], str] = {}
    dropped: dict[tuple[str, str], datetime] = {}
    added: set[tuple[str, str]] = set()
    values: dict[tuple[str, str], Value] = {}
    same: dict[tuple[str, str], datetime] = {}
    for table, column, change, new_name, value, declared_at in connection.execute(
        statement("archive/column_changes")
    ).fetchall():
        if change == "renamed" and new_name == column:
            same[table, column] = declared_at
        elif change == "renamed":
            renamed[table, column] = new_name
        elif change == "value":
            values[table, column] = Value(value, declared_at)
        elif change == "dropped":
            dropped[table, column] = declared_at
        else:
            added.add((table, column))
    return Evolution(renamed, dropped, frozenset(added), values, same)


@dataclass(frozen=True, slots=True)
class Becoming:
    """How rows of one archived table become rows of today's: its columns, each with its value."""

    table: Table
    columns: tuple[str, ...]
    values: tuple[sql.Composable, ...]


def becoming(
    archived: Table, today: Table, evolution: Evolution, as_of: datetime, *, what: str
) -> Becoming:
    """How rows ``archived`` at a moment become rows of ``today``; each is called c.

    Refused when that can't be told: a column may have been renamed, or must have a value that
    nobody has named. It says what to declare.
    """
    has = frozenset(column.name for column in archived.stored)
    called = {
        evolution.column_today(today.name, name, has): name
        for name in has
        if not _is_another(evolution.dropped.get((today.name, name)), as_of)
    }
    by_name = {column.name: column for column in archived.stored}
    columns: dict[str, sql.Composable] = {}
    missing: list[Column] = []
    for column in today.stored:
        value = evolution.values.get((today.name, column.name))
        if value is not None and (as_of < value.declared_at or column.name not in called):
            columns[column.name] = sql.SQL(f"({value.expression})")
        elif column.name in called:
            columns[column.name] = _as_today(by_name[called[column.name]], column)
        else:
            missing.append(column)
    _refuse_renewed(archived, today, evolution, as_of, what)
    _refuse_unclear(archived, today, evolution, called, missing, what)
    for column in missing:
        if column.not_null and column.default is None:
            raise Refused(
                what,
                cause=f"{today.name}.{column.name} is NOT NULL and has no default, and the archive "
                "holds no value for it",
                next_step="let a migration declare one in ops.column_changes: "
                + declaration(today.name, column.name, "value", "…an SQL expression…"),
            )
    _refuse_without_key(today, columns, what)
    return Becoming(today, tuple(columns), tuple(columns.values()))


def _refuse_renewed(
    archived: Table, today: Table, evolution: Evolution, as_of: datetime, what: str
) -> None:
    """Refused where today's column of a name is another one, and nobody has declared it."""
    unclear = [
        name
        for name in archived.renewed(today)
        if not is_declared_again(evolution, today.name, name, as_of)
    ]
    if unclear:
        raise Refused(
            what,
            cause=f"{archived.name} was archived with another column called "
            f"{', '.join(unclear)} than it has now",
            next_step=declare_again(today.name, unclear[0]),
        )


def is_declared_again(evolution: Evolution, table: str, column: str, since: datetime) -> bool:
    """Whether it was declared what became of a column that came again under its name."""
    key = (table, column)
    value = evolution.values.get(key)
    given = None if value is None else value.declared_at
    moments = (evolution.dropped.get(key), evolution.same.get(key), given)
    return any(at is not None and since < at for at in moments)


def declare_again(table: str, column: str) -> str:
    """What to declare of a column that was dropped and added again under its name."""
    return (
        "let a migration declare in ops.column_changes whether its old values belong into today's "
        f"column: no, {declaration(table, column, 'dropped', '')}; yes, "
        f"{declaration(table, column, 'renamed', column)}"
    )


def _refuse_without_key(today: Table, columns: Mapping[str, object], what: str) -> None:
    """Refused where a row can't be told from others by today's key.

    One that is in the archives of two months would come back twice, each time under another key.
    """
    lacking = [name for name in today.key if name not in columns]
    if today.is_shared and lacking:
        raise Refused(
            what,
            cause=f"{today.name}.{lacking[0]} belongs to its primary key, and the archive holds no "
            "value for it",
            next_step="let a migration declare one in ops.column_changes that is the same for each "
            "copy of a row: "
            + declaration(today.name, lacking[0], "value", "md5(id::text)::uuid, say"),
        )


def _is_another(dropped_at: datetime | None, as_of: datetime) -> bool:
    """Whether today's column, if there is one, only has the name of the one that was archived."""
    return dropped_at is not None and as_of < dropped_at


def declaration(table: str, column: str, change: str, value: str) -> str:
    """What a migration writes into ops.column_changes, as a message shows it."""
    named = {"renamed": "new_name", "value": "value"}.get(change)
    rest = f", {named} '{value}'" if named else ""
    return f"table_name '{table}', column_name '{column}', change '{change}'{rest}"


def table_becoming(
    archived: Table, today: Content, evolution: Evolution, as_of: datetime, *, what: str
) -> Table | None:
    """Today's table for one archived at a moment; None when it was declared as dropped since.

    Refused when it is not there and nobody has said what became of it.
    """
    if _is_another(evolution.dropped.get((archived.name, NO_COLUMN)), as_of):
        return None
    name = evolution.table_today(archived.name)
    if name in today:
        return today[name]
    if (archived.name, NO_COLUMN) in evolution.dropped:
        return None
    raise Refused(
        what,
        cause=f"it holds rows of {archived.name}, and there is no such table of content now",
        next_step="let a migration declare in ops.column_changes what became of it: "
        f"{declaration(archived.name, NO_COLUMN, 'renamed', '…')}, or, and its rows stay in the "
        f"archive, {declaration(archived.name, NO_COLUMN, 'dropped', '')}",
    )


def _refuse_unclear(
    archived: Table,
    today: Table,
    evolution: Evolution,
    called: Mapping[str, str],
    missing: list[Column],
    what: str,
) -> None:
    names = {column.name for column in today.columns}
    gone = sorted(
        name
        for now, name in called.items()
        if now not in names and (today.name, name) not in evolution.dropped
    )
    new = sorted(
        column.name for column in missing if (today.name, column.name) not in evolution.added
    )
    if gone and new:
        raise Refused(
            what,
            cause=f"{archived.name} was archived with {', '.join(gone)}, and has {', '.join(new)} "
            "now: a column may have been renamed, and would come back empty",
            next_step="let a migration declare which in ops.column_changes: "
            f"{declaration(today.name, gone[0], 'renamed', new[0])}, or "
            f"{declaration(today.name, gone[0], 'dropped', '')}",
        )


def _as_today(archived: Column, today: Column) -> sql.Composable:
    value = sql.Identifier("c", archived.name)
    if archived.type == today.type and not archived.as_text:
        return value
    return sql.SQL("{}::{}").format(value, cast_type(today.type))


def cast_type(name: str) -> sql.SQL:
    """What a value is cast to before it is stored in a column of this type.

    A cast to a shorter character type cuts the value off; storing a longer one is an error.
    """
    is_text = re.match(r"character( varying)?\b", name) is not None
    return sql.SQL(("text[]" if name.endswith("[]") else "text") if is_text else name)
