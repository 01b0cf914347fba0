"""Who is connected, who waits for whom, and what replication holds back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from ft_ops.health.samples import Sample
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings

FULL: Final = 0.8
"""Share of the connections from which on they are few."""
NEARLY_OUT: Final = 0.95
"""Share from which on the next services to connect will be refused."""
_NAMED: Final = 5
"""Replicas that are not there and that a message names, the newest first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Client connections of the whole server. ``application`` are those of the application.

    ``here`` are those of this database. The limits are what somebody has set for the application's
    role and for the database, beside the server's own.
    """

    max_connections: int
    reserved: int
    used: int
    application: int
    idle_in_transaction: int
    here: int = 0
    application_limit: int | None = None
    here_limit: int | None = None

    @property
    def available(self) -> int:
        """What ordinary users can have."""
        return self.max_connections - self.reserved

    @property
    def limits(self) -> Iterator[tuple[str, int, int]]:
        """Whose connections, how many, and how many there may be."""
        yield "connections", self.used, self.available
        if self.application_limit is not None:
            yield "connections of the application's role", self.application, self.application_limit
        if self.here_limit is not None:
            yield "connections of this database", self.here, self.here_limit

    @property
    def share(self) -> float:
        """Of the limit that is nearest."""
        return max(used / limit if limit > 0 else 1.0 for _, used, limit in self.limits)


@dataclass(frozen=True, slots=True)
class Session:
    """One session that is in a transaction or waits for a lock. Its query's text is not read."""

    pid: int
    user_name: str
    application: str
    state: str
    waits_for: str
    transaction_seconds: float
    state_seconds: float
    blocked_seconds: float
    holds_snapshot: bool
    blocked_by: list[int]

    @property
    def name(self) -> str:
        return f"pid {self.pid} ({self.application or self.user_name})"


@dataclass(frozen=True, slots=True)
class PreparedTransaction:
    """A transaction prepared for two-phase commit."""

    gid: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StreamingReplica:
    """A streaming replica; lag is 0 when it has caught up."""

    name: str
    state: str
    lag_seconds: float
    lag_bytes: int


@dataclass(frozen=True, slots=True)
class FormerReplica:
    """A replica of the last week: when it was seen last, and how many there usually were."""

    name: str
    last_seen: datetime
    usual: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot and the bytes of log that the server keeps for it."""

    name: str
    kind: str
    is_active: bool
    wal_status: str
    retained_bytes: int


@dataclass(frozen=True, slots=True)
class Connections:
    """One look at the server."""

    usage: Usage
    sessions: tuple[Session, ...]
    prepared: tuple[PreparedTransaction, ...]
    replicas: tuple[StreamingReplica, ...]
    slots: tuple[Slot, ...]
    former_replicas: tuple[FormerReplica, ...] = ()

    @property
    def oldest_snapshot_seconds(self) -> float:
        """Age of the oldest transaction that may keep dead rows from being removed."""
        ages = [s.transaction_seconds for s in self.sessions if s.holds_snapshot]
        return max([*ages, *(p.seconds for p in self.prepared)], default=0.0)

    @property
    def blocked(self) -> list[Session]:
        return [session for session in self.sessions if session.blocked_by]

    def samples(self) -> list[Sample]:
        """What of it is kept in ops.metric_samples."""
        return [
            Sample("connections", "used", self.usage.used),
            Sample("connections", "application", self.usage.application),
            Sample("connections", "idle in transaction", self.usage.idle_in_transaction),
            Sample("connections", "available", self.usage.available),
            Sample("oldest_snapshot_seconds", "", self.oldest_snapshot_seconds),
            Sample("blocked_sessions", "", len(self.blocked)),
            *(Sample("replica_lag_seconds", r.name, r.lag_seconds) for r in self.replicas),
            *(Sample("slot_retained_bytes", s.name, s.retained_bytes) for s in self.slots),
        ]


def look_at_connections(connection: Connection, app_role: str) -> Connections:
    """Look at the whole server once; nothing is waited for, nobody is disturbed.

    OpsError for a role that does not see it: it would count no session but its own.
    """
    require_monitoring(connection)
    with connection.cursor(row_factory=class_row(Usage)) as cursor:
        usage = one_row(
            cursor.execute(statement("health/connection_limits"), {"app_role": app_role})
        )
    with connection.cursor(row_factory=class_row(Session)) as cursor:
        sessions = cursor.execute(statement("health/sessions")).fetchall()
    with connection.cursor(row_factory=class_row(PreparedTransaction)) as cursor:
        prepared = cursor.execute(statement("health/prepared_transactions")).fetchall()
    with connection.cursor(row_factory=class_row(StreamingReplica)) as cursor:
        replicas = cursor.execute(statement("health/replicas")).fetchall()
    with connection.cursor(row_factory=class_row(Slot)) as cursor:
        slots = cursor.execute(statement("health/slots")).fetchall()
    with connection.cursor(row_factory=class_row(FormerReplica)) as cursor:
        former = cursor.execute(statement("health/former_replicas")).fetchall()
    return Connections(
        usage, tuple(sessions), tuple(prepared), tuple(replicas), tuple(slots), tuple(former)
    )


def headroom_problems(usage: Usage, pool_connections: int) -> Iterator[str]:
    """What there is too little of, in words."""
    for what, used, limit in usage.limits:
        if used >= FULL * limit:
            yield f"{used} of {limit} {what} are in use"
    if usage.application >= pool_connections:
        yield (
            f"the application holds {usage.application} connections, its pool has "
            f"{pool_connections}: its requests wait for one"
        )


def nearly_out(usage: Usage) -> bool:
    """Whether the next services to connect will be refused."""
    return usage.share >= NEARLY_OUT


def stuck_problems(found: Connections, settings: Settings) -> Iterator[str]:
    """Sessions that hold something up for longer than the settings allow, in words."""
    for session in found.sessions:
        if (
            session.state.startswith("idle in transaction")
            and session.state_seconds >= settings.idle_transaction_seconds
        ):
            yield f"{session.name} is idle in its transaction for {session.state_seconds:.0f} s"
        if session.blocked_by and session.blocked_seconds >= settings.blocked_seconds:
            blockers = ", ".join(str(pid) for pid in session.blocked_by)
            yield f"{session.name} waits for pid {blockers} for {session.blocked_seconds:.0f} s"
        if (
            session.holds_snapshot
            and session.transaction_seconds >= settings.longest_snapshot_seconds
        ):
            yield (
                f"{session.name} holds a snapshot for {session.transaction_seconds:.0f} s: no row "
                "deleted since can be vacuumed"
            )
    for prepared in found.prepared:
        if prepared.seconds >= settings.longest_snapshot_seconds:
            yield f"prepared transaction {prepared.gid} is {prepared.seconds:.0f} s old"


def replication_problems(found: Connections, settings: Settings) -> Iterator[str]:
    """Replicas that lag or are gone, and slots that hold back too much, in words."""
    for replica in found.replicas:
        if replica.lag_seconds > settings.replication_lag_seconds:
            yield f"replica {replica.name} lags {replica.lag_seconds:.0f} s behind"
    yield from _gone_replicas(found)
    for slot in found.slots:
        if slot.wal_status == "lost":
            yield f"slot {slot.name} has lost log that it needs: its replica must be rebuilt"
        elif slot.retained_bytes > settings.slot_gigabytes * 1e9:
            idle = "" if slot.is_active else ", and nobody reads it"
            yield f"slot {slot.name} holds back {slot.retained_bytes / 1e9:.1f} GB of log{idle}"


def _gone_replicas(found: Connections) -> Iterator[str]:
    """That there are fewer than usual, and who is not here: one may go by another name now."""
    here = {replica.name for replica in found.replicas}
    usual = max((former.usual for former in found.former_replicas), default=0)
    if len(here) >= usual:
        return
    gone = [
        f"{former.name}, seen last {former.last_seen:%Y-%m-%d %H:%M} UTC"
        for former in found.former_replicas
        if former.name not in here
    ]
    yield f"{usual - len(here)} of {usual} replicas not connected: {'; '.join(gone[:_NAMED])}"
