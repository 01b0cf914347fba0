"""Writes of the operations to audit_log, as the system user."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from psycopg.types.json import Jsonb

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

SYSTEM_USER = UUID(int=0)


def write_audit(
    connection: Connection, action: str, table_name: str, details: Mapping[str, object]
) -> None:
    """Record one act of the operations, in the transaction that is open, if one is."""
    connection.execute(
        statement("pg/write_audit"),
        {
            "user_id": SYSTEM_USER,
            "action": action,
            "table_name": table_name,
            "details": Jsonb(dict(details)),
        },
    )
