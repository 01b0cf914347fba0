"""A table that stood alone while its parent's columns changed follows them before its attach."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import LiteralString

import psycopg
from psycopg import sql

from ft_ops.archive.hold.holds import guard_segments
from ft_ops.archive.month.catalog import describe_table
from ft_ops.archive.month.content import HOT, Column, Table
from ft_ops.archive.month.evolution import Evolution, cast_type, declaration, read_evolution
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.move.copy import copy_alone, drop_copy, let_vacuum, parent_of_months
from ft_ops.archive.move.counted import count_kept, keep_rows, lock_as_counted
from ft_ops.archive.move.detach import rename_archived
from ft_ops.archive.move.renewed import follow_renewed
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


def aligned(run: Run, month: Month, table: Relation, what: str) -> Relation:
    """The month's table with the columns and constraints of the archive's parent.

    It is the same table, altered in one transaction; or a new one with its rows, where PostgreSQL
    takes a column for inherited whose parent is gone (one that was dropped while the detach was
    pending). Refused when the parent has a column under another name, as far as can be told, or a
    constraint that a row of the table does not meet: it says which.

    A copy that a dead run left goes: from its attach on the table is edited, and the copy is not.
    """
    try:
        with _explained(table, what):
            follow_renewed(run, table, what)
            _align(run, table, what)
    except psycopg.errors.InvalidTableDefinition:
        return _rebuilt(run, month, table, what)
    drop_copy(run, month, what)
    return table


def _align(run: Run, table: Relation, what: str) -> None:
    evolution = read_evolution(run.connection)

    def follow() -> None:
        with run.connection.transaction():
            for action in _renames(_own(run, table), evolution):
                _alter(run, table, action)
            own, parent = _own(run, table), parent_of_months(run)
            _refuse_unclear(table, own, parent, evolution, what)
            for action in _steps(own, parent, evolution):
                _alter(run, table, action)

    with_escalating_lock_timeout(run.connection, what, follow, sleep=run.sleep)


def _rebuilt(run: Run, month: Month, table: Relation, what: str) -> Relation:
    """All rows of a table in a new one, which takes its place and has its trigger."""
    keep_rows(run, table, what)
    rows = sql.SQL("(SELECT s.* FROM {} AS s)").format(table.identifier)
    with _explained(table, what):
        copy = copy_alone(run, month, table, rows, what)
    keep_rows(run, copy, what)
    counted = count_kept(run, rows, table, copy, what)

    def swap() -> Relation:
        with run.connection.transaction():
            lock_as_counted(run.connection, counted, what)
            run.connection.execute(statement("archive/drop_purged").format(table=table.identifier))
            run.connection.execute(
                statement("archive/forget_counted").format(table=copy.identifier)
            )
            let_vacuum(run.connection, copy)
            run.connection.execute(
                statement("archive/follow_deletes").format(table=copy.identifier)
            )
            guard_segments(run.connection, copy.identifier)
            return rename_archived(run.connection, month, copy)

    return with_escalating_lock_timeout(run.connection, what, swap, sleep=run.sleep)


@contextmanager
def _explained(table: Relation, what: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.IntegrityError, psycopg.errors.DataError) as error:
        raise Refused(
            what,
            cause=f"{table.qualified} can't follow its parent: {str(error).splitlines()[0]}",
            next_step="correct these rows of it, or the constraint, and run again; the rows are "
            "all still there",
        ) from error


def _own(run: Run, table: Relation) -> Table:
    return describe_table(run.connection, table.oid)


def _alter(run: Run, table: Relation, action: sql.Composed) -> None:
    run.connection.execute(sql.SQL("ALTER TABLE {} {}").format(table.identifier, action))
    run.log(f"{table.qualified} follows its parent: {action.as_string()}")


def _renames(own: Table, evolution: Evolution) -> Iterator[sql.Composed]:
    has = frozenset(column.name for column in own.columns)
    for name in sorted(has):
        now = evolution.column_today(HOT, name, has)
        if now != name:
            yield _action("RENAME COLUMN {} TO {}", sql.Identifier(name), sql.Identifier(now))


def _refuse_unclear(
    table: Relation, own: Table, parent: Table, evolution: Evolution, what: str
) -> None:
    gone = _missing(own, parent, evolution.dropped)
    new = _missing(parent, own, evolution.added)
    if gone and new:
        raise Refused(
            what,
            cause=f"{table.qualified} has {', '.join(gone)}, and its parent has {', '.join(new)} "
            "instead: a column may have been renamed",
            next_step="let a migration declare which in ops.column_changes: "
            f"{declaration(HOT, gone[0], 'renamed', new[0])}, or "
            f"{declaration(HOT, gone[0], 'dropped', '')}",
        )


def _missing(one: Table, other: Table, declared: Collection[tuple[str, str]]) -> list[str]:
    """The stored columns of one that the other has not, and of which nobody has said why."""
    names = {column.name for column in other.columns}
    return [c.name for c in one.stored if c.name not in names and (HOT, c.name) not in declared]


def _steps(own: Table, parent: Table, evolution: Evolution) -> Iterator[sql.Composed]:
    mine = {column.name: column for column in own.columns}
    theirs = {column.name: column for column in parent.columns}
    for name in sorted(mine.keys() - theirs.keys()):
        yield _action("DROP COLUMN {}", sql.Identifier(name))
    for name, column in theirs.items():
        if name not in mine:
            yield from _addition(column, evolution)
        else:
            yield from _changes(mine[name], column)
    checks = {check.name: check for check in own.checks}
    for check in parent.checks:
        same = check.name in checks and checks[check.name].definition == check.definition
        if check.name in checks and not same:
            yield _action("DROP CONSTRAINT {}", sql.Identifier(check.name))
        if not same:
            yield _action(
                "ADD CONSTRAINT {} CHECK ({}){}",
                sql.Identifier(check.name),
                sql.SQL(check.definition),
                sql.SQL("" if check.valid else " NOT VALID"),
            )


def _addition(column: Column, evolution: Evolution) -> Iterator[sql.Composed]:
    value = evolution.values.get((HOT, column.name))
    if not column.not_null or column.default is not None or value is None:
        yield _action("ADD COLUMN {}", _definition(column))
        return
    name = sql.Identifier(column.name)
    yield _action("ADD COLUMN {}", _definition(replace(column, not_null=False)))
    # Not by an UPDATE: its triggers are about what people change.
    yield _action(
        "ALTER COLUMN {} TYPE {} USING ({})", name, sql.SQL(column.type), sql.SQL(value.expression)
    )
    yield _action("ALTER COLUMN {} SET NOT NULL", name)


def _changes(mine: Column, theirs: Column) -> Iterator[sql.Composed]:
    name = sql.Identifier(theirs.name)
    if mine.generated != theirs.generated:
        # Its values are made anew from the row.
        yield _action("DROP COLUMN {}", name)
        yield _action("ADD COLUMN {}", _definition(theirs))
        return
    if (mine.type, mine.collation) != (theirs.type, theirs.collation):
        yield _action(
            "ALTER COLUMN {0} TYPE {2} USING {0}::{1}", name, cast_type(theirs.type), _type(theirs)
        )
    if mine.not_null and not theirs.not_null:
        yield _action("ALTER COLUMN {} DROP NOT NULL", name)
    if theirs.not_null and not mine.not_null:
        yield _action("ALTER COLUMN {} SET NOT NULL", name)


def _definition(column: Column) -> sql.Composed:
    # Types and expressions are the catalog's own spelling.
    parts: list[sql.Composable] = [sql.Identifier(column.name), _type(column)]
    if column.generated is not None:
        parts.append(sql.SQL(f"GENERATED ALWAYS AS ({column.generated}) STORED"))
    elif column.default is not None:
        parts.append(sql.SQL(f"DEFAULT {column.default}"))
    if column.not_null:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def _type(column: Column) -> sql.SQL:
    return sql.SQL(column.type + (f" COLLATE {column.collation}" if column.collation else ""))


def _action(what: LiteralString, *names: sql.Composable) -> sql.Composed:
    return sql.SQL(what).format(*names)
