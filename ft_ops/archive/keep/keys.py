"""Keys of archived months whose segments are in no table: found by name, and never removed.

A segment takes its key along when it is deleted. One that was deleted while triggers were silenced
leaves it, with its narrations, tags and links, in whatever month: after a purge nobody comes by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class LoneKeys:
    """By month, the keys without a segment; ``skipped``: months whose table stands alone."""

    found: Mapping[Month, tuple[UUID, ...]]
    skipped: tuple[Month, ...]


def lone_keys(connection: Connection) -> LoneKeys:
    """Look at every month of the ledger, each in one statement's snapshot.

    While a month moves, leaves or comes back its table has no parent, and it is passed over.
    """
    found: dict[Month, tuple[UUID, ...]] = {}
    skipped: list[Month] = []
    for (day,) in connection.execute(statement("archive/archived_months")).fetchall():
        month = Month.of(day)
        if _stands_alone(connection, month):
            skipped.append(month)
            continue
        keys = connection.execute(
            statement("archive/keys_without_segment").format(
                lower=sql.Literal(month.start), upper=sql.Literal(month.end)
            )
        ).fetchall()
        # It may have been detached in between.
        if keys and _stands_alone(connection, month):
            skipped.append(month)
        elif keys:
            found[month] = tuple(key for (key,) in keys)
    return LoneKeys(found, tuple(skipped))


def _stands_alone(connection: Connection, month: Month) -> bool:
    thaw = open_thaw(connection, month)
    return any(g.state in {"archiving", "purging"} for g in generations(connection, month)) or (
        thaw is not None and thaw.state in {"loaded", "refreezing"}
    )
