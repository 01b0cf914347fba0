"""Columns that were dropped and added again under their names while a month's table stood alone.

To the parent of months these are other columns than before. The lone table has its old ones, and
the old values would come into the new column with its attach.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from psycopg import sql

from ft_ops.archive.month.catalog import describe_table
from ft_ops.archive.month.content import HOT
from ft_ops.archive.month.evolution import (
    Evolution,
    declare_again,
    is_declared_again,
    read_evolution,
)
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


def note_columns(connection: Connection, relation: int, parent: str) -> None:
    """Note which of its parent's columns a table's are, before it stands alone."""
    with connection.transaction():
        connection.execute(statement("archive/forget_lone_columns"), {"relation": relation})
        connection.execute(
            statement("archive/note_lone_columns"), {"relation": relation, "parent": parent}
        )


def follow_renewed(run: Run, table: Relation, what: str) -> None:
    """Let a lone table's column that its parent has another of become that, as it was declared.

    One that was declared as dropped goes, and its parent's comes in its place later; one that is
    the same, or gets a value, stays. Refused where nobody has declared which it is.
    """

    def follow() -> None:
        with run.connection.transaction():
            evolution = read_evolution(run.connection)
            again = run.connection.execute(
                statement("archive/renewed_columns"), {"relation": table.oid}
            ).fetchall()
            _refuse_unclear(table, again, evolution, what)
            for name, noted_at in again:
                for action in _actions(run, name, noted_at, evolution):
                    run.connection.execute(
                        sql.SQL("ALTER TABLE {} {}").format(table.identifier, action)
                    )
                    run.log(f"{table.qualified} follows its parent: {action.as_string()}")
            if again:
                run.connection.execute(
                    statement("archive/forget_lone_columns"), {"relation": table.oid}
                )

    with_escalating_lock_timeout(run.connection, what, follow, sleep=run.sleep)


def _refuse_unclear(
    table: Relation, again: list[tuple[str, datetime]], evolution: Evolution, what: str
) -> None:
    unclear = [
        name for name, noted_at in again if not is_declared_again(evolution, HOT, name, noted_at)
    ]
    if unclear:
        raise Refused(
            what,
            cause=f"the parent of {table.qualified} has another column called "
            f"{', '.join(unclear)} since that stands alone",
            next_step=declare_again(HOT, unclear[0]),
        )


def _actions(
    run: Run, name: str, noted_at: datetime, evolution: Evolution
) -> Iterator[sql.Composed]:
    dropped, value = evolution.dropped.get((HOT, name)), evolution.values.get((HOT, name))
    column = sql.Identifier(name)
    if dropped is not None and noted_at < dropped:
        yield sql.SQL("DROP COLUMN {}").format(column)
    elif value is not None and noted_at < value.declared_at:
        [[parent, _]] = run.connection.execute(statement("archive/segment_tables")).fetchall()
        today = next(c for c in describe_table(run.connection, parent).columns if c.name == name)
        yield sql.SQL("ALTER COLUMN {} TYPE {} USING ({})").format(
            column, sql.SQL(today.type), sql.SQL(value.expression)
        )
