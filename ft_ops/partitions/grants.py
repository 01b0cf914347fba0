"""Who may read a table that was just made: nobody but its owner, whatever the defaults grant."""

from __future__ import annotations

from psycopg import sql

from ft_ops.pg.sqlfiles import statement


def kept_to_owner(table: sql.Composable) -> sql.Composed:
    """The statement that takes a new table from everybody else, for the transaction that made it.

    ALTER DEFAULT PRIVILEGES is how an administrator gives a reporting role all tables, those to
    come as well. A partition read by its own name shows all families.
    """
    return statement("partitions/keep_to_owner").format(table=sql.Literal(table.as_string()))
