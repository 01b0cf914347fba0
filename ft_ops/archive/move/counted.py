"""Keeps the rows of tables that stand alone as they were counted, until one of them is dropped.

So the count needs no lock for which somebody would have to wait. Whoever counts, first lets
`keep_rows` put a trigger on the tables, then counts them and asks `kept_as_counted` in one
snapshot, and asks again under the lock under which he drops: if it answers the same, no row came
in, none was changed, and none went but with its thread, out of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ft_ops.archive.month.relation import Relation
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Whether tables keep their rows, and the version of all that sees to it."""

    is_kept: bool
    version: str


def keep_rows(run: Run, table: Relation, what: str) -> None:
    """Let a table that stands alone refuse each row that would come, change, or go by itself.

    Who writes to it ends before. `attach_alone` lets it go.
    """

    def keep() -> None:
        with run.connection.transaction():
            for step in ("archive/keep_counted", "archive/keep_counted_always"):
                run.connection.execute(statement(step).format(table=table.identifier))

    with_escalating_lock_timeout(run.connection, what, keep, sleep=run.sleep)


def kept_as_counted(connection: Connection, tables: Sequence[Relation]) -> KeptRows:
    """What keeps the rows of these tables, for a comparison with what it answers later."""
    return KeptRows(
        *one_row(
            connection.execute(
                statement("archive/kept_as_counted"), {"tables": [table.oid for table in tables]}
            )
        )
    )


def refuse_altered(
    connection: Connection, tables: Sequence[Relation], counted: KeptRows, what: str
) -> None:
    """Refused when the tables may have other rows than were counted. They are locked."""
    now = kept_as_counted(connection, tables)
    if not now.is_kept or now != counted:
        names = " or ".join(table.qualified for table in tables)
        raise Refused(
            what,
            cause=f"somebody has altered {names}, or a trigger on it, since its rows were counted",
            next_step="run again: it counts anew. Nothing was dropped",
        )
