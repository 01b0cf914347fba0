"""Writes the totals to families.storage_used_bytes and users.storage_used_bytes.

Only where they differ, in small transactions of rows that nobody else has locked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from uuid import UUID

import psycopg

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import lock_timeout, only_one
from ft_ops.pg.sqlfiles import statement
from ft_ops.storage.recompute import TASK
from ft_ops.storage.snapshot import Snapshot, latest_snapshot

Owners: TypeAlias = Literal["families", "users"]

PAUSES_SECONDS: Final[Sequence[float]] = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Waits between rounds, for whoever holds the rows that are left."""


@dataclass(frozen=True, slots=True)
class Published:
    """How many rows were written, in how many rounds, and the snapshot that they now show."""

    snapshot: Snapshot
    written: int
    rounds: int


def publish_families(
    connection: Connection,
    *,
    batch_rows: int,
    lock_wait_ms: int,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Bring families.storage_used_bytes in line with the totals of the latest snapshot.

    An OpsError when rows are still locked after every round; what was written stays.
    """
    return _publish(connection, "families", batch_rows, lock_wait_ms, log, sleep)


def publish_users(
    connection: Connection,
    *,
    batch_rows: int,
    lock_wait_ms: int,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """The same for users.storage_used_bytes: all content by that user, in whatever family."""
    return _publish(connection, "users", batch_rows, lock_wait_ms, log, sleep)


def _publish(
    connection: Connection,
    owners: Owners,
    batch_rows: int,
    lock_wait_ms: int,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> Published:
    with only_one(connection, TASK), lock_timeout(connection, lock_wait_ms):
        snapshot = latest_snapshot(connection)
        written = 0
        stale = _stale(connection, owners)
        for rounds, pause in enumerate((*PAUSES_SECONDS, None), start=1):
            for at in range(0, len(stale), batch_rows):
                written += _write(connection, owners, stale[at : at + batch_rows])
            left = _stale(connection, owners)
            log(f"{owners}: {len(stale):,} to write, {len(left):,} left")
            if not left:
                return Published(snapshot, written, rounds)
            stale = left
            if pause is not None:
                sleep(pause)
    raise OpsError(
        f"storage of {owners}",
        cause=f"{len(stale):,} rows, the first of them {stale[0]}, stayed locked by other sessions",
        next_step="find who holds them with pg_blocking_pids(), then materialize "
        f"{'family' if owners == 'families' else 'user'}_storage again; {written:,} are written",
    )


def _stale(connection: Connection, owners: Owners) -> list[UUID]:
    return [owner for (owner,) in connection.execute(statement(f"storage/stale_{owners}"))]


def _write(connection: Connection, owners: Owners, ids: list[UUID]) -> int:
    """One batch, its own transaction; what can't be had in time is left for the next round."""
    try:
        return connection.execute(statement(f"storage/publish_{owners}"), {"ids": ids}).rowcount
    except psycopg.errors.LockNotAvailable:
        # Somebody alters the table. The rows show up again as stale.
        return 0
