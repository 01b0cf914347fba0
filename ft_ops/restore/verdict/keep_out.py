"""Keeps rows from being written, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.rows import Copied


def keep_out(
    connection: Connection, copied: Copied, state: str, why: str, condition: sql.Composable
) -> int:
    """Keep the rows ``c`` that a condition names from being written; how many that were.

    A row that is missing gets the state; one that was changed stays so.
    """
    return keep_out_each(connection, copied, state, [(why, condition)])


def keep_out_each(
    connection: Connection,
    copied: Copied,
    state: str,
    reasons: Sequence[tuple[str, sql.Composable]],
) -> int:
    """The same for several reasons at once; of those that hold for a row, it gets the first."""
    if not reasons:
        return 0
    cases = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(condition, sql.Literal(why)) for why, condition in reasons
    )
    return connection.execute(
        statement("restore/keep_out").format(
            rows=copied.rows,
            state=sql.Literal(state),
            why=sql.SQL("CASE {} END").format(cases),
            condition=sql.SQL("({})").format(
                sql.SQL(" OR ").join(sql.SQL("({})").format(held) for _, held in reasons)
            ),
        )
    ).rowcount
