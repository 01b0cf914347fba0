"""Which backup can be relied on: what gates that delete content ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ft_ops.backups.inventory.ledger import entries
from ft_ops.clock import MOST_CLOCK_SKEW
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class VerifiedBackup:
    """A backup that exists and whose last drill passed.

    Everything that was committed before ``restored_to`` was found in the restored copy at
    ``verified_at``. Both are UTC, by the database server's clock.
    """

    name: str
    restored_to: datetime
    verified_at: datetime


def full_was_begun(connection: Connection) -> bool:
    """Whether a full backup was ever begun: before that there is nothing to follow or restore."""
    return any(entry.kind == "full" for entry in entries(connection))


def oldest_point(connection: Connection) -> datetime | None:
    """The moment of the oldest backup that exists: what was erased before is in none; UTC."""
    [[oldest]] = connection.execute(statement("backups/oldest_point")).fetchall()
    found: datetime | None = oldest
    return found


def newest_verified_backup(connection: Connection) -> VerifiedBackup | None:
    """The verified backup that reaches furthest, None when there is none.

    One that reaches further than the server's clock was dated by a clock that went wrong: what it
    holds may be older than anything.
    """
    with connection.cursor(row_factory=class_row(VerifiedBackup)) as cursor:
        return cursor.execute(
            statement("backups/newest_verified"), {"most_clock_skew": MOST_CLOCK_SKEW}
        ).fetchone()
