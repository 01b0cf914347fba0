"""ops.metric_samples as a TimescaleDB hypertable where the database has the extension."""

from __future__ import annotations

from typing import Literal

from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


def ensure_hypertable(connection: Connection) -> Literal["hypertable", "plain table"]:
    """Make the samples a hypertable if that is possible; says what they are now.

    A hypertable drops old samples a chunk at a time (drop_chunks); a plain table deletes them.
    """
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"
    ).fetchone()
    if row != (True,):
        return "plain table"
    with_escalating_lock_timeout(
        connection,
        "ops.metric_samples",
        lambda: connection.execute(statement("schema/create_hypertable")),
    )
    return "hypertable"
