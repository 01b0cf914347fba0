"""ops.backups and ops.restore_drills: what was begun, what it became, what was proven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import Kind, ProviderName, StoredBackup
from ft_ops.errors import OpsError, mask_secrets
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement

State = Literal["taking", "complete", "failed", "missing", "deleting", "deleted"]

Verdict = Literal["proven", "refuted", "unknown"]
"""What a drill ends with. Only the first two are about the content; ``unknown`` changes nothing."""

Refuted = Literal["backup", "log"]
"""What a refutation is about: the backup, or only the log behind the backup's own point."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ops.backups, with what its drills have shown.

    ``verified_at`` and ``restored_to`` are set while it exists and its last verdict about the
    content is a proof, ``was_verified`` once any was. ``verdict`` is that last one, of
    ``judged_at``, and ``finding`` what refuted it; ``log_finding`` is about the log behind it.
    ``cluster`` is the one that it was taken of: before a pg_upgrade it was another.
    ``undecided`` says why its last drill came to no verdict, None if it did, and
    ``unread_refutation`` which refutation in the bucket can't be read: nothing relies on it then.
    """

    name: str
    kind: Kind
    provider: ProviderName
    state: State
    provider_id: str | None
    point_at: datetime | None
    objects: Mapping[str, str] | None
    started_at: datetime
    completed_at: datetime | None
    error: str | None
    verified_at: datetime | None
    restored_to: datetime | None
    was_verified: bool
    first_wal: str | None = None
    mark_wal: str | None = None
    cluster: str | None = None
    needs: Sequence[str] = ()
    verdict: Verdict | None = None
    judged_at: datetime | None = None
    finding: str | None = None
    log_finding: str | None = None
    undecided: str | None = None
    unread_refutation: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledgement: str | None = None

    @property
    def was_ever_whole(self) -> bool:
        """Whether it was complete once, whatever became of it."""
        return self.completed_at is not None or self.was_verified

    @property
    def is_acknowledged(self) -> bool:
        """Whether a person has looked at what is wrong with it, since the last verdict on it."""
        return self.acknowledged_at is not None and (
            self.judged_at is None or self.acknowledged_at >= self.judged_at
        )


def entries(connection: Connection) -> list[Entry]:
    """Every backup that was ever begun and is not deleted, oldest first."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(statement("backups/entries")).fetchall()


def new_name(kind: Kind, now: datetime) -> str:
    """What a backup that begins now is called.

    To the millisecond: a run that is refused at once is tried again within the second. Lower case,
    letters, digits and hyphens, for it is a snapshot's identifier on RDS as well.
    """
    return f"{kind}-{now:%Y%m%dt%H%M%S}{now.microsecond // 1000:03}z"


@contextmanager
def taking(
    connection: Connection, provider: ProviderName, name: str, kind: Kind, run_id: str
) -> Iterator[None]:
    """Record that a backup is being taken for a block, and that it failed if the block does.

    Refused while another of its kind is being taken; those of dead runs become failed.
    """
    with only_one(connection, f"{kind} backup"):
        with connection.transaction():
            connection.execute(statement("backups/fail_dead"), {"kind": kind})
            connection.execute(
                statement("backups/begin"),
                {"name": name, "kind": kind, "provider": provider, "run_id": run_id},
            )
        try:
            yield
        except Exception as error:
            # Where the session was lost, the next run records that this one died.
            if takes_statements(connection):
                connection.execute(
                    statement("backups/fail"), {"name": name, "error": mask_secrets(str(error))}
                )
            raise


def fail_dead(connection: Connection) -> None:
    """Record that backups failed which nobody takes any more: their run died.

    Also the one that was being taken at the point to which this database was restored.
    """
    for kind in sorted({entry.kind for entry in entries(connection) if entry.state == "taking"}):
        # By whom a lock is held, whoever takes a backup of that kind is told.
        with suppress(OpsError), only_one(connection, f"{kind} backup"):
            connection.execute(statement("backups/fail_dead"), {"kind": kind})


def complete(connection: Connection, point: RestorePoint, stored: StoredBackup) -> None:
    """Record that a backup exists, what its point is, and which objects it consists of."""
    with connection.transaction():
        connection.execute(
            statement("backups/complete"),
            {
                "name": point.name,
                "provider_id": stored.provider_id,
                "point_at": point.at,
                "point": Jsonb(point.to_json()),
                "bytes": stored.bytes,
                "objects": Jsonb(dict(stored.objects)),
                "first_wal": stored.begins_at_wal,
                "needs": list(stored.needs),
            },
        )
        write_audit(
            connection,
            "backup_taken",
            "backups",
            {
                "backup": point.name,
                "provider_id": stored.provider_id,
                "at": point.at.isoformat(),
            },
        )


def adopt(
    connection: Connection, provider: ProviderName, point: RestorePoint, stored: StoredBackup
) -> None:
    """Record a backup that is whole in the bucket and that this database does not know.

    Its run died after the last step, or the database was restored to an earlier moment.
    """
    with connection.transaction():
        connection.execute(
            statement("backups/adopt"),
            {
                "name": point.name,
                "kind": stored.kind,
                "provider": provider,
                "started_at": point.at,
                "run_id": None,
            },
        )
        complete(connection, point, stored)


def set_state(connection: Connection, name: str, state: State, reason: str | None) -> None:
    """Record that a backup is gone, or back, or being deleted; the audit log says so too."""
    with connection.transaction():
        connection.execute(
            statement("backups/set_state"), {"name": name, "state": state, "error": reason}
        )
        write_audit(connection, f"backup_{state}", "backups", {"backup": name, "reason": reason})


def begun_as(connection: Connection, name: str, provider_id: str) -> None:
    """Record what the provider calls a backup that is being taken: a dead run's pieces are ours."""
    connection.execute(statement("backups/begun_as"), {"name": name, "provider_id": provider_id})


def log_begins(connection: Connection, name: str, first_wal: str) -> None:
    """Record where a backup's log begins, if that is not known yet."""
    connection.execute(statement("backups/log_begins"), {"name": name, "first_wal": first_wal})


def acknowledge(connection: Connection, name: str, *, by: str, reason: str) -> None:
    """Record that a person has looked at what refuted or broke a backup, and gives it up."""
    with connection.transaction():
        connection.execute(
            statement("backups/acknowledge"), {"name": name, "by": by, "reason": reason}
        )
        write_audit(
            connection,
            "backup_acknowledged",
            "backups",
            {"backup": name, "by": by, "reason": reason},
        )


def discard(
    connection: Connection,
    provider: ProviderName,
    name: str,
    stored: StoredBackup,
    *,
    by: str,
    reason: str,
) -> None:
    """Record pieces that no ledger knows as a backup that failed, given up by a person."""
    with connection.transaction():
        connection.execute(
            statement("backups/discard"),
            {
                "name": name,
                "kind": stored.kind,
                "provider": provider,
                "provider_id": stored.provider_id,
                "started_at": stored.started_at,
                "by": by,
                "reason": reason,
            },
        )
        write_audit(
            connection,
            "backup_discarded",
            "backups",
            {"backup": name, "provider_id": stored.provider_id, "by": by, "reason": reason},
        )


def read_point(connection: Connection, name: str) -> RestorePoint:
    """The point of a complete backup."""
    row = connection.execute(statement("backups/point"), {"name": name}).fetchone()
    return RestorePoint.from_json(row[0] if row else None)
