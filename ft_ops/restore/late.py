"""References that close a circle, as a book's to a segment in it: empty first, and set in the end.

A foreign key asks for its row at once, and of two rows that refer to each other one is first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.graph import KEYS, SEGMENTS, identifier
from ft_ops.restore.read.rows import Copied

LAST: Final = 2**63 - 1

Late: TypeAlias = Mapping[str, sql.Composable]
"""Columns, each with the condition under which a row ``c`` gets its value in the end."""


def late_columns(rows: Copied, copied: Mapping[str, Copied]) -> Late:
    """The columns of a table that refer to what comes back after its own rows."""
    conditions: dict[str, list[sql.Composable]] = {}
    for key in rows.late:
        pairs = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("p", there), sql.Identifier("c", here))
            for here, there in zip(key.columns, key.referenced, strict=True)
        )
        comes = sql.SQL(
            "EXISTS (SELECT FROM {} AS p WHERE p.ft_writes AND p.ft_state = 'missing' AND {})"
        ).format(copied[SEGMENTS if key.parent == KEYS else key.parent].rows, pairs)
        for name in key.columns:
            if not rows.table.columns[name].not_null:
                conditions.setdefault(name, []).append(comes)
    return {name: sql.SQL(" OR ").join(found) for name, found in conditions.items()}


def early(name: str, late: Late, otherwise: sql.Composable) -> sql.Composable:
    """What a column is first: the copy's value of ``c``, or ``otherwise`` where that is late."""
    value = sql.Identifier("c", name)
    if name not in late:
        return value
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(late[name], otherwise, value)


def write_late(
    connection: Connection,
    rows: Copied,
    place: str,
    late: Late,
    first: int = 0,
    last: int = LAST,
) -> int:
    """Set what was left out, in written rows of one table; how many that were."""
    if not late:
        return 0
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("c", name)) for name in late
    )
    return connection.execute(
        statement("restore/write_late").format(
            table=identifier(place),
            assignments=assignments,
            rows=rows.rows,
            is_late=sql.SQL(" OR ").join(late.values()),
            same_key=rows.same_key(),
        ),
        {"first": first, "last": last},
    ).rowcount
