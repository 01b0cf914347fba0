"""Keeps what leads written rows to their families as it was judged, until the commit.

The transaction sees one snapshot, and a foreign key asks for a row, not whose it is: a thread or a
book that somebody moves to another family meanwhile would take old content along.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.graph import FAMILIES, ForeignKey, identifier
from ft_ops.restore.read.rows import Copied


def lock_ways(live: Connection, copied: Mapping[str, Copied]) -> None:
    """Lock every row by which a written row leads to a family.

    One that was changed since the snapshot makes this a serialization failure: all of it is done
    again, and judged by what is there then. Whoever wants to move one waits for the commit.
    """
    for rows in copied.values():
        parts = (way[:end] for way in rows.ways for end in range(1, len(way) + 1))
        for reached in dict.fromkeys(parts):
            if reached[-1].parent != FAMILIES:
                live.execute(
                    statement("restore/lock_way").format(
                        parent=identifier(reached[-1].parent),
                        key=_listed(reached[-1].referenced, "p"),
                        reached=_reached(rows, reached),
                    )
                )


def _reached(rows: Copied, keys: tuple[ForeignKey, ...]) -> sql.Composable:
    """A query for what written rows name at the end of some references."""
    *before, last = keys
    if not before:
        return sql.SQL("SELECT {} FROM {} AS c WHERE c.ft_writes").format(
            _listed(last.columns, "c"), rows.rows
        )
    parent = before[-1]
    return sql.SQL("SELECT {} FROM {} AS p WHERE ({}) IN ({})").format(
        _listed(last.columns, "p"),
        identifier(parent.parent),
        _listed(parent.referenced, "p"),
        _reached(rows, tuple(before)),
    )


def _listed(columns: tuple[str, ...], alias: str) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in columns)
