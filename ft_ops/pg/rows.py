"""The row of a statement that always answers with one."""

from __future__ import annotations

from typing import TypeVar

import psycopg

from ft_ops.errors import OpsError

Row = TypeVar("Row")


def one_row(cursor: psycopg.Cursor[Row]) -> Row:
    """The first row of the statement that ``cursor`` has executed.

    For a statement that always answers with a row: an aggregate without GROUP BY, a call of a
    function, an INSERT with RETURNING. An OpsError when it has answered with none; where none is
    a possible answer, use ``fetchone``.
    """
    row = cursor.fetchone()
    if row is None:
        raise OpsError(
            f"database {cursor.connection.info.dbname}",
            cause="a statement that always answers with a row has answered with none "
            f"({cursor.statusmessage})",
            next_step="look for a trigger or a row policy that somebody has added to the "
            "tables of the statement (ft-ops migrate drift); the traceback of the run names the "
            "statement",
        )
    return row
