"""Removes old events from Dagster's own storage, but for what the pages of assets show.

Dagster keeps every event of every run for ever. Kept here is, of each asset and partition, the
newest event of each kind (materialization, observation, what was planned), and of each check its
newest evaluation, however old they are; and everything that is younger than the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import dagster as dg
import sqlalchemy as db

from ft_ops.orchestration.internals import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    ConsolidatedEventLog,
    SqlEventLogStorageTable,
)

BATCH: Final = 5_000
"""Numbers of events that are looked at in one transaction: some tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went."""

    events: int
    evaluations: int


def prune(
    instance: dg.DagsterInstance, before: datetime, *, log: Callable[[str], None]
) -> Pruned | None:
    """Remove what is older than ``before``; None where this storage is not one of many rows."""
    storage = instance.event_log_storage
    if not isinstance(storage, ConsolidatedEventLog):
        return None
    limit = before.astimezone(UTC).replace(tzinfo=None)
    events = evaluations = 0
    with storage.index_connection() as connection:
        # Each statement is a transaction of its own: nobody waits for long.
        first, last = _numbers_before(connection, limit)
        for low in range(first, last + 1, BATCH):
            events += _delete_events(connection, low, min(low + BATCH, last + 1), limit)
        evaluations = connection.execute(_old_evaluations(limit)).rowcount
    log(f"removed {events} events and {evaluations} evaluations of checks")
    return Pruned(events, evaluations)


_EVENTS: Final = SqlEventLogStorageTable
_CHECKS: Final = AssetCheckExecutionsTable


def _numbers_before(connection: db.Connection, limit: datetime) -> tuple[int, int]:
    """The numbers of the oldest event and of the newest before ``limit``."""
    numbers = db.select(db.func.min(_EVENTS.c.id), db.func.max(_EVENTS.c.id))
    first, last = connection.execute(numbers.where(_EVENTS.c.timestamp < limit)).one()
    return int(first or 0), int(last or -1)


def _delete_events(connection: db.Connection, low: int, high: int, limit: datetime) -> int:
    newer = _EVENTS.alias("newer")
    shown = db.and_(
        _EVENTS.c.asset_key.is_not(None),
        ~db.exists().where(
            newer.c.asset_key == _EVENTS.c.asset_key,
            newer.c.dagster_event_type == _EVENTS.c.dagster_event_type,
            newer.c.partition.is_not_distinct_from(_EVENTS.c.partition),
            newer.c.id > _EVENTS.c.id,
        ),
    )
    ids = list(
        connection.execute(
            db.select(_EVENTS.c.id).where(
                _EVENTS.c.id >= low, _EVENTS.c.id < high, _EVENTS.c.timestamp < limit, ~shown
            )
        ).scalars()
    )
    if ids:
        # The tags first: whoever dies between the two leaves no tag of an event that is gone.
        tags = AssetEventTagsTable
        connection.execute(db.delete(tags).where(tags.c.event_id.in_(ids)))
        connection.execute(db.delete(_EVENTS).where(_EVENTS.c.id.in_(ids)))
    return len(ids)


def _old_evaluations(limit: datetime) -> db.Delete:
    """Of each check and partition the newest stays, and the newest that has ended."""
    newer = _CHECKS.alias("newer")
    replaced = db.exists().where(
        newer.c.asset_key == _CHECKS.c.asset_key,
        newer.c.check_name == _CHECKS.c.check_name,
        newer.c.partition.is_not_distinct_from(_CHECKS.c.partition),
        newer.c.execution_status != "PLANNED",
        newer.c.id > _CHECKS.c.id,
    )
    return db.delete(_CHECKS).where(_CHECKS.c.create_timestamp < limit, replaced)
