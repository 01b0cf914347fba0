"""What the operations ask of whoever takes the backups: barman-cloud, pgBackRest, or RDS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from ft_ops.backups.points.points import RestorePoint
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket

Kind = Literal["full", "increment", "dump"]
ProviderName = Literal["barman", "pgbackrest", "rds"]

Condition = Literal["complete", "unfinished", "failed", "damaged", "archived", "foreign"]
"""``unfinished``: still being written, or its writer died. ``archived``: whole, in a storage class
that nobody can read without asking for it. ``foreign``: of another cluster."""

Log = Callable[[str], None]
Began = Callable[[str], None]


def unheard(provider_id: str) -> None:
    """For whoever need not know what the provider calls a backup that is being taken."""


@dataclass(frozen=True, slots=True)
class Replica:
    """The copy for disaster recovery. ``problem`` says why it does not count, None if it does."""

    location: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """A backup as the provider has it. Only a ``complete`` one counts for anything.

    ``objects`` maps the names of its objects to their ETags, where it has any. ``needs`` names the
    backups that it can't be restored without.
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
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is whole, and the point that it can be restored to.

    ``rested_seconds`` are what the application was left alone for while its rows were read.
    """

    point: RestorePoint
    stored: StoredBackup
    rested_seconds: float = 0.0


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


class ContentError(OpsError):
    """What is stored is not what was backed up: a finding about the content, never about the try.

    ``wal`` is the segment of the log that it is about, None where it is about the backup itself.
    """

    def __init__(self, what: str, *, cause: str, next_step: str, wal: str | None = None) -> None:
        self.wal = wal
        super().__init__(what, cause=cause, next_step=next_step)


class ArchivedLog(Protocol):
    """The log that an archive holds, as it was listed once."""

    def problems(self, first_wal: str, last_wal: str) -> Sequence[str]:
        """Why nothing can be recovered by it from the one segment to the other: empty if it can."""

    def came_through(self, wal: str, lsn: str, now_wal: str) -> bool:
        """Whether a server that writes ``now_wal`` came through a place in a segment."""

    def holes(self, first_wal: str) -> Sequence[str]:
        """What is missing of it from a segment to the newest that is archived, in sentences.

        What a person has accepted to be missing is left out.
        """

    def gaps(self, first_wal: str) -> Sequence[tuple[str, str]]:
        """The same, each by its first and its last segment."""


@dataclass(frozen=True, slots=True)
class DrillFinding:
    """One thing that is wrong with a restored copy."""

    check: str
    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Examined:
    """What a check looked at: how many things, what is wrong, what it could not look at and why.

    ``unsaid`` is what it had no means to look at by its nature: that is told, and is no failure.
    """

    examined: int
    findings: tuple[DrillFinding, ...] = ()
    undecided: tuple[DrillFinding, ...] = ()
    unsaid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreSource:
    """What a restore uses: ``backup`` names it, None where that is no backup of ours."""

    backup: str | None
    words: str


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

    def blamed_on_data(self, said: str) -> str | None:
        """What the data are to blame for when the server, or a login, failed with these words.

        None where that says nothing about them: a refused login, a full disk, a lost connection.
        """

    def check_files(self) -> Examined:
        """Stop the server and check the files. Nothing can be asked of ``url`` after it."""

    def reopened(self) -> AbstractContextManager[str]:
        """The application's database once more, after everything was checked, for a block.

        What is written there from now on says nothing about the backup.
        """


class BackupProvider(Protocol):
    """Takes, lists, restores and deletes backups. Every wait in it ends; errors are OpsError."""

    @property
    def name(self) -> ProviderName: ...

    @property
    def cluster(self) -> str:
        """What tells this cluster from any other, also from one made anew under its name."""

    @property
    def recovers_by_log(self) -> bool:
        """Whether an increment is reached from a full by the log; else it is restored alone."""

    @property
    def copy_bucket(self) -> Bucket | None:
        """Where the backup bucket is replicated to, None where it is not."""

    def take_full(self, name: str, log: Log, began: Began = unheard) -> Taken:
        """Take a full backup with its point; both can be restored when this returns.

        ``began`` is told what the provider calls it, as soon as that is known.
        """

    def take_increment(self, name: str, log: Log) -> Taken:
        """Take a point behind the newest full; it can be restored to when this returns."""

    def replicate(self, log: Log) -> None:
        """Begin the copies for disaster recovery that are missing and are ours to make."""

    def ship_log(self, connection: Connection, log: Log) -> None:
        """Bring what of the log is ours to bring into the archive."""

    def stored_backups(self) -> list[StoredBackup]:
        """Every backup that exists, whole or not, oldest first."""

    def archived_log(self) -> ArchivedLog | None:
        """The log that is archived, None where the provider shows nobody its log."""

    def copied_log(self) -> ArchivedLog | None:
        """The same of the copy for disaster recovery, None where none is kept."""

    def log_state(self, connection: Connection, since_wal: str | None) -> LogState:
        """How the archived log is, from the segment ``since_wal`` on."""

    def source(self, backup: StoredBackup, point: RestorePoint) -> RestoreSource:
        """What `restore` will use for the same arguments: a proof is booked on that alone."""

    def restore(
        self, backup: StoredBackup, point: RestorePoint, log: Log
    ) -> AbstractContextManager[RestoredCopy]:
        """Restore ``backup`` and recover it to ``point``, in a place that goes with the block.

        A ContentError is about what is stored; any other error says nothing about that.
        """

    def delete(self, backup: StoredBackup, others: Collection[StoredBackup], log: Log) -> None:
        """Delete one backup for good. ``others`` stay, and whatever they need stays with them."""

    def hold(self, backup: StoredBackup) -> None:
        """Keep ``backup`` from every deletion until it is released."""

    def release(self, backup: StoredBackup) -> None:
        """Undo ``hold``."""
