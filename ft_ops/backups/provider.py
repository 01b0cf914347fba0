"""What the operations ask of whoever takes the backups: RDS, or barman-cloud."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from ft_ops.backups.points.points import RestorePoint
from ft_ops.pg.connect import Connection

Kind = Literal["full", "increment", "dump"]
ProviderName = Literal["barman", "rds"]

Condition = Literal["complete", "unfinished", "failed", "damaged", "foreign"]
"""``unfinished``: still being written, or its writer died. ``foreign``: of another cluster."""

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Replica:
    """The copy for disaster recovery. ``problem`` says why it does not count, None if it does."""

    location: str
    copied_at: datetime | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """A backup as the provider has it. Only a ``complete`` one counts for anything.

    ``objects`` maps the names of its objects to their ETags, where it has any.
    """

    provider_id: str
    name: str
    kind: Kind
    condition: Condition
    problem: str | None
    started_at: datetime | None
    location: str
    bytes: int
    storage_classes: tuple[str, ...]
    is_held: bool
    replica: Replica | None
    begins_at_wal: str | None = None
    tablespaces: tuple[str, ...] = ()
    objects: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is whole, and the point that it can be restored to."""

    point: RestorePoint
    stored: StoredBackup


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the archived log reaches, and whether it is whole.

    ``restorable_to`` is the moment up to which the archive holds everything; ``lag_seconds`` is
    how much older than now that is, and 0 when nothing was written since. ``problems`` are
    sentences: holes, timelines, a server that calls archived what is not there.
    """

    restorable_to: datetime | None
    lag_seconds: float
    problems: tuple[str, ...]
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a restored copy."""

    check: str
    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.problem}"


class RestoredCopy(Protocol):
    """A server that runs what was restored, for as long as the drill looks at it."""

    @property
    def url(self) -> str:
        """The application's database in the copy, as the operations role."""

    @property
    def admin_url(self) -> str | None:
        """The same as a superuser, None where the provider gives nobody that."""

    @property
    def evidence(self) -> Mapping[str, str]:
        """What shows that recovery reached the point: log lines, positions."""

    def check_files(self) -> tuple[int, Sequence[Finding]]:
        """Stop the server and check the files; how many were examined, and what is wrong.

        (0, ()) where the provider lets nobody see them. Nothing can be asked of ``url`` after it.
        """


class BackupProvider(Protocol):
    """Takes, lists, restores and deletes backups. Every wait in it ends; errors are OpsError."""

    @property
    def name(self) -> ProviderName: ...

    @property
    def cluster(self) -> str:
        """What tells this cluster from any other, also from one made anew under its name."""

    def take_full(self, name: str, log: Log) -> Taken:
        """Take a full backup with its point; both can be restored when this returns."""

    def take_increment(self, name: str, log: Log) -> Taken:
        """Take a point behind the newest full; it can be restored to when this returns."""

    def replicate(self, log: Log) -> None:
        """Begin the copies for disaster recovery that are missing and are ours to make."""

    def ship_log(self, connection: Connection, log: Log) -> None:
        """Bring what of the log is ours to bring into the archive."""

    def stored_backups(self) -> list[StoredBackup]:
        """Every backup that exists, whole or not, oldest first."""

    def log_state(self, connection: Connection, since_wal: str | None) -> LogState:
        """How the archived log is, from the segment ``since_wal`` on."""

    def restore(
        self, backup: StoredBackup, point: RestorePoint, log: Log
    ) -> AbstractContextManager[RestoredCopy]:
        """Restore ``backup`` and recover it to ``point``, in a place that goes with the block."""

    def delete(self, backup: StoredBackup, others: Collection[StoredBackup], log: Log) -> None:
        """Delete one backup for good. ``others`` stay, and whatever they need stays with them."""

    def hold(self, backup: StoredBackup) -> None:
        """Keep ``backup`` from every deletion until it is released."""

    def release(self, backup: StoredBackup) -> None:
        """Undo ``hold``."""
