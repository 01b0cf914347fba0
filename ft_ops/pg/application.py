"""Whether the application suffers: everything that works beside it asks here, and nowhere else.

Three signs are known: others are at work at all, a small query of the application's kind takes much
longer than usual, and a replica falls behind.
"""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import quoted, statement

SUFFERING_FACTOR: Final = 5
"""A slow server stays slow without our doing: ours is what is so many times slower than before."""
_USUAL_SAMPLES: Final = 7


@dataclass(frozen=True, slots=True)
class ReplicaLag:
    """How far the slowest replica is behind: seconds of replay and bytes of log; 0 without one."""

    seconds: float
    bytes: int


def require_monitoring(connection: Connection) -> None:
    """OpsError unless this role sees other users' sessions: a gate that sees nothing would pass."""
    if not one_row(connection.execute(statement("pg/can_monitor")))[0]:
        raise OpsError(
            f"role {connection.info.user}",
            cause="it can't see other users' sessions and statistics",
            next_step=f"as an administrator: GRANT pg_monitor TO {quoted(connection.info.user)}",
        )


def others_at_work(connection: Connection) -> bool:
    """Whether anybody but the operations was at work in this database within the last second."""
    return connection.execute(statement("pg/others_at_work")).fetchone() == (True,)


def is_waited_for(connection: Connection, sessions: Sequence[int]) -> bool:
    """Whether anybody waits for a lock of these sessions, told by their process ids."""
    row = connection.execute(statement("pg/is_waited_for"), {"sessions": list(sessions)}).fetchone()
    return row == (True,)


def replica_lag(connection: Connection) -> ReplicaLag:
    """What the replicas have yet to replay."""
    with connection.cursor(row_factory=class_row(ReplicaLag)) as cursor:
        return one_row(cursor.execute(statement("pg/replica_lag")))


@dataclass(slots=True)
class Canary:
    """A small query of the application's kind, timed again and again.

    It suffers when the median of its last ``samples`` runs is above ``limit_ms`` and above five
    times its usual median; ``has_suffered`` remembers that it did. One that a lock or a time-out
    ends took at least that long.
    """

    limit_ms: float
    samples: int = 5
    clock: Callable[[], float] = time.perf_counter
    chance: random.Random = field(default_factory=random.Random)
    usual_ms: float = 0.0
    worst_ms: float = 0.0
    last_ms: float = 0.0
    has_suffered: bool = False
    _recent: list[float] = field(default_factory=list)

    @property
    def allowed_ms(self) -> float:
        return max(self.limit_ms, SUFFERING_FACTOR * self.usual_ms)

    def settle_in(self, connection: Connection) -> None:
        """Take the usual median, and forget what was seen before."""
        self._sing(connection)
        self.usual_ms = statistics.median(self._sing(connection) for _ in range(_USUAL_SAMPLES))
        self.worst_ms = 0.0
        self._recent.clear()

    def suffers(self, connection: Connection) -> bool:
        """Run the query once more; whether it suffers."""
        self.last_ms = self._sing(connection)
        self.worst_ms = max(self.worst_ms, self.last_ms)
        self._recent = [*self._recent, self.last_ms][-self.samples :]
        is_slow = statistics.median(self._recent) > self.allowed_ms
        if len(self._recent) < self.samples or not is_slow:
            return False
        self.has_suffered = True
        return True

    def _sing(self, connection: Connection) -> float:
        somewhere = uuid.UUID(int=self.chance.getrandbits(128))
        began = self.clock()
        # A transaction of somebody else's must outlive what a lock does to the query.
        is_idle = connection.info.transaction_status == TransactionStatus.IDLE
        try:
            with nullcontext() if is_idle else connection.transaction():
                connection.execute(statement("pg/canary"), {"somewhere": somewhere}).fetchone()
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            return (self.clock() - began) * 1000
        return (self.clock() - began) * 1000
