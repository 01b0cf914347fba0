"""Keeps the rows of tables that stand alone as they were counted, until one of them is dropped.

So the count needs no lock for which somebody would have to wait. Whoever counts, first lets
`keep_rows` put a trigger on both. `count_kept` counts them in one snapshot, and notes what keeps
them; `lock_as_counted` asks for it again under the locks of the drop. If it is the same, no row
came in, none was changed, and none went but with its thread, out of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ft_ops.archive.month.relation import Relation
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Tables whose rows were counted, and the version of all that keeps them as they were."""

    tables: tuple[Relation, ...]
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


def count_kept(
    run: Run, rows: sql.Composable, table: Relation, copy: Relation | None, what: str
) -> KeptRows:
    """What keeps a table and its copy in one snapshot, in which each of ``rows`` is in the copy.

    ``rows`` is a relation: what is to stay of the table. Without a copy nothing is. Refused when
    the drop of the table would take a row that is not in the copy.
    """
    connection = run.connection
    tables = (table,) if copy is None else (table, copy)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        version = _version(connection, tables, what)
        if copy is None:
            stay, found, copied = count_rows(connection, rows), 0, 0
        else:
            stay, found = _count_copied(connection, rows, copy)
            copied = count_rows(connection, copy.identifier)
        if not stay == found == copied:
            raise _missing(connection, rows, table, what, (stay, found, copied))
    return KeptRows(tables, version)


def _missing(
    connection: Connection,
    rows: sql.Composable,
    table: Relation,
    what: str,
    counted: tuple[int, int, int],
) -> Refused:
    """Why a table is not dropped, of whose rows that stay not each is in the copy."""
    [[alone, one]] = connection.execute(
        statement("archive/rows_alone").format(rows=rows)
    ).fetchall()
    if alone:
        return Refused(
            what,
            cause=f"{alone:,} rows in {table.qualified} are to stay, segment {one} among them, "
            "and their thread or user was deleted past the triggers and foreign keys",
            next_step="insert the threads and users that they name again, past the triggers where "
            "they have tombstones, and run again; then delete, as the application does, those "
            "that were meant to go. The rows are all still there",
        )
    stay, found, copied = counted
    all_rows = count_rows(connection, table.identifier)
    return Refused(
        what,
        cause=f"of {all_rows:,} rows in {table.qualified} {stay:,} are to stay, and "
        f"{found:,} of them are among {copied:,} that are copied",
        next_step="find out who wrote to that table; it stays, and nothing more is removed",
    )


def lock_as_counted(connection: Connection, counted: KeptRows, what: str) -> None:
    """Lock all that the drop of a table needs. Nothing may take time then: nobody reads a thread.

    In the order in which the deletion of a thread takes its locks: who has its table's and waits
    for that of a month, would wait for us while we wait for him. Refused when the tables may have
    other rows than were counted.
    """
    with connection.transaction(force_rollback=True):
        # Without them nobody need wait for threads and users, either.
        _lock_at_once(connection, counted.tables)
    connection.execute(statement("archive/lock_parents"))
    _lock_at_once(connection, counted.tables)
    if _version(connection, counted.tables, what) != counted.version:
        raise _altered(counted.tables, what)


def _lock_at_once(connection: Connection, tables: Sequence[Relation]) -> None:
    for table in tables:
        connection.execute(statement("archive/lock_at_once").format(table=table.identifier))


def count_rows(connection: Connection, rows: sql.Composable) -> int:
    """How many rows a relation has."""
    [[number]] = connection.execute(
        statement("archive/count_rows").format(table=sql.SQL("{} AS s").format(rows))
    ).fetchall()
    return int(number)


def _count_copied(connection: Connection, rows: sql.Composable, copy: Relation) -> tuple[int, int]:
    """How many rows there are, and how many of them are in the copy."""
    [[number, found]] = connection.execute(
        statement("archive/count_copied").format(rows=rows, copy=copy.identifier)
    ).fetchall()
    return int(number), int(found)


def _version(connection: Connection, tables: Sequence[Relation], what: str) -> str:
    """A text that is another one as soon as somebody alters these tables or a trigger of theirs.

    Refused when one of them does not keep its rows.
    """
    is_kept, version = one_row(
        connection.execute(
            statement("archive/kept_as_counted"), {"tables": [table.oid for table in tables]}
        )
    )
    if not is_kept:
        raise _altered(tables, what)
    return str(version)


def _altered(tables: Sequence[Relation], what: str) -> Refused:
    names = " or ".join(table.qualified for table in tables)
    return Refused(
        what,
        cause=f"somebody has altered {names}, or a trigger on it, while its rows were counted",
        next_step="run again: it counts anew. Nothing was dropped",
    )
