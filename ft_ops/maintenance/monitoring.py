"""What has to be true of the operations role before anything is judged by statistics."""

from __future__ import annotations

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import quoted, statement


def require_monitoring(connection: Connection) -> None:
    """OpsError unless this role sees other users' sessions: a gate that sees nothing would pass."""
    if not one_row(connection.execute(statement("maintenance/can_monitor")))[0]:
        raise OpsError(
            f"role {connection.info.user}",
            cause="it can't see other users' sessions and statistics",
            next_step=f"as an administrator: GRANT pg_monitor TO {quoted(connection.info.user)}",
        )
