"""What rows a table has, to compare them with those of before."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.maintenance.indexes.reindex import session_settings
from ft_ops.maintenance.tables.table_bloat import TableFiles
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class HashedRows:
    """How many rows a table has, and the sum of their hashes."""

    rows: int
    hashes: int


def is_empty(connection: Connection, table: TableFiles) -> bool:
    """Whether it has no row that anybody sees."""
    name = sql.Identifier(table.schema, table.name)
    query = statement("maintenance/table_is_empty").format(table=name)
    return bool(one_row(connection.execute(query))[0])


def rows_of(connection: Connection, table: TableFiles, seconds: float) -> HashedRows:
    """Its rows, all of them read within so many ``seconds``, or one where fewer are left.

    psycopg's QueryCanceled where that takes longer.
    """
    name = sql.Identifier(table.schema, table.name)
    query = statement("maintenance/rows_of_table").format(table=name)
    timeout = {"statement_timeout": f"{max(1, int(seconds))}s"}
    with (
        session_settings(connection, timeout),
        connection.cursor(row_factory=class_row(HashedRows)) as cursor,
    ):
        return one_row(cursor.execute(query))
