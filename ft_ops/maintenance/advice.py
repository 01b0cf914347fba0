"""Indexes that nobody uses, that repeat another, or that are missing. Told, never acted on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

OLD_ENOUGH: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """One index, or one foreign key without one; ``bytes`` is what dropping it would free."""

    schema: str
    table_name: str
    name: str
    bytes: int
    finding: str


@dataclass(frozen=True, slots=True)
class IndexAdvice:
    """What somebody should think about. Each list is ordered, the largest first."""

    unused: tuple[Finding, ...]
    duplicate: tuple[Finding, ...]
    unindexed_foreign_keys: tuple[Finding, ...]


def index_advice(connection: Connection, *, now: datetime) -> IndexAdvice:
    """Look through the catalog. An index counts as unused after 30 days without a scan."""
    return IndexAdvice(
        unused=_findings(connection, "unused_indexes", now - OLD_ENOUGH),
        duplicate=_findings(connection, "duplicate_indexes", now),
        unindexed_foreign_keys=_findings(connection, "unindexed_foreign_keys", now),
    )


def _findings(connection: Connection, name: str, before: datetime) -> tuple[Finding, ...]:
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        cursor.execute(statement(f"maintenance/{name}"), {"before": before})
        return tuple(cursor.fetchall())
