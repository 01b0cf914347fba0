"""A table as the catalog has it now, by its oid."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.table_bloat import TableFiles
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class TableNow:
    """A table as the catalog has it now; ``rows_written`` counts since the counters began.

    ``columns`` is the form of its rows.
    """

    file_node: int
    rows_written: int
    may_maintain: bool
    owner: str
    is_plain: bool
    columns: str
    invalid_index: str | None
    has_key: bool


def table_now(connection: Connection, oid: int) -> TableNow | None:
    """None where it is gone."""
    with connection.cursor(row_factory=class_row(TableNow)) as cursor:
        return cursor.execute(statement("maintenance/table_now"), {"table": oid}).fetchone()


def required_now(connection: Connection, table: TableFiles) -> TableNow:
    """An OpsError where it is gone."""
    now = table_now(connection, table.oid)
    if now is None:
        raise OpsError(
            table.qualified_name,
            cause="it was dropped meanwhile",
            next_step="launch repack_tables again without it",
        )
    return now
