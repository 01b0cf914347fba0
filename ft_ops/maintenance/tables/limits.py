"""What a table's own settings, and the server's, make autovacuum do: asked in one place.

A statement of `sql/` that needs them has the parts `{own}` and `{beside}`: of the table `c`, and of
what is stored beside its rows, `toast_class`.
"""

from __future__ import annotations

from psycopg import sql

from ft_ops.pg.sqlfiles import statement


def with_settings(name: str) -> sql.Composed:
    """The statement ``name``, with its part or parts."""
    return statement(name).format(
        own=_settings("c.reloptions", "c.reltuples"),
        # One without any parameter of its own goes by all of its table's.
        beside=_settings("coalesce(toast_class.reloptions, c.reloptions)", "toast_class.reltuples"),
    )


def _settings(parameters: str, rows: str) -> sql.Composed:
    # Parts of a statement, and no values: both are written above.
    return statement("maintenance/table_settings").format(
        parameters=sql.SQL(parameters),
        rows=sql.SQL(rows),
    )
