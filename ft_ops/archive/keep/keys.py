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
from ft_ops.items import Failed, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class LoneKeys:
    """By month, the keys without a segment; ``skipped``: months whose table stands alone.

    Of what ``failed`` it is not known.
    """

    found: Mapping[Month, tuple[UUID, ...]]
    skipped: tuple[Month, ...]
    failed: tuple[Failed, ...] = ()


def lone_keys(connection: Connection) -> LoneKeys:
    """Look at every month of the ledger, each in one statement's snapshot.

    While a month moves, leaves or comes back its table has no parent, and it is passed over.
    """
    months = [
        Month.of(day)
        for (day,) in connection.execute(statement("archive/archived_months")).fetchall()
    ]
    looked = each(
        months,
        lambda month: (month, _without_segment(connection, month)),
        name=lambda month: f"keys of {month}",
        usable=lambda: takes_statements(connection),
    )
    return LoneKeys(
        {month: keys for month, keys in looked.results if keys},
        tuple(month for month, keys in looked.results if keys is None),
        looked.failed,
    )


def _without_segment(connection: Connection, month: Month) -> tuple[UUID, ...] | None:
    """The month's keys without a segment; None while its table stands alone."""
    if _stands_alone(connection, month):
        return None
    query = statement("archive/keys_without_segment").format(
        lower=sql.Literal(month.start), upper=sql.Literal(month.end)
    )
    keys = tuple(key for (key,) in connection.execute(query).fetchall())
    # It may have been detached in between.
    return None if keys and _stands_alone(connection, month) else keys


def _stands_alone(connection: Connection, month: Month) -> bool:
    thaw = open_thaw(connection, month)
    return any(g.state in {"archiving", "purging"} for g in generations(connection, month)) or (
        thaw is not None and thaw.state in {"loaded", "refreezing"}
    )
