"""Which generations are in which state, over all months: of the segments and of the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from psycopg import sql
from psycopg.rows import kwargs_row

from ft_ops.archive.month.generation import Generation, generation_of_row
from ft_ops.archive.month.states import IN_DATABASE, STORED, Ledger, State
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


def all_in_states(
    connection: Connection, states: Iterable[State], ledger: Ledger = "archive"
) -> list[Generation]:
    """Every generation in one of some states, by month."""
    query = statement("archive/generations_in_states").format(ledger=sql.Identifier("ops", ledger))
    with connection.cursor(row_factory=kwargs_row(partial(generation_of_row, ledger))) as cursor:
        return cursor.execute(query, {"states": sorted(states)}).fetchall()


def all_in_database(connection: Connection) -> list[Generation]:
    """Every generation whose rows are in the database, by month."""
    return [g for g in all_in_states(connection, IN_DATABASE) if g.is_in_database]


def all_stored(connection: Connection) -> list[Generation]:
    """Every generation that the bucket has to hold, the audit log's too, by month."""
    return [
        *all_in_states(connection, STORED),
        *all_in_states(connection, STORED, "audit_archive"),
    ]
