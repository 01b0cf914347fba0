"""Marks the log where recovery has to stop."""

from __future__ import annotations

from ft_ops.backups.points.points import Mark
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement


def mark_log(connection: Connection, name: str) -> Mark:
    """Write a named restore point, then complete its segment so that it is archived."""
    row = one_row(connection.execute(statement("backups/create_restore_point"), {"name": name}))
    connection.execute(statement("backups/switch_wal"))
    return Mark(lsn=row[0], wal=row[1])
