"""ops.backups and ops.restore_drills: what was begun, what it became, what was proven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import Kind, ProviderName, StoredBackup
from ft_ops.errors import mask_secrets
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement

State = Literal["taking", "complete", "failed", "missing", "deleting", "deleted"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ops.backups, with what its drills have proven.

    ``verified_at`` and ``restored_to`` are set while its last drill is a success,
    ``was_verified`` once any drill was.
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
            connection.execute(
                statement("backups/fail"), {"name": name, "error": mask_secrets(str(error))}
            )
            raise


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


def read_point(connection: Connection, name: str) -> RestorePoint:
    """The point of a complete backup."""
    row = connection.execute(statement("backups/point"), {"name": name}).fetchone()
    return RestorePoint.from_json(row[0] if row else None)


def begin_drill(connection: Connection, backup: str, target: str, run_id: str) -> int:
    """Record that a drill has begun, and that those of dead runs died. Returns its number.

    Call it with the drills' lock held.
    """
    with connection.transaction():
        connection.execute(statement("backups/end_dead_drills"))
        row = connection.execute(
            statement("backups/begin_drill"),
            {"backup": backup, "target": target, "run_id": run_id},
        ).fetchone()
    assert row is not None
    return int(row[0])


def pass_drill(
    connection: Connection,
    drill: int,
    *,
    restored_to: datetime,
    recovery_seconds: float,
    loss_seconds: float,
    certificate: Mapping[str, object],
) -> None:
    """Record a success with its certificate."""
    with connection.transaction():
        connection.execute(
            statement("backups/pass_drill"),
            {
                "id": drill,
                "restored_to": restored_to,
                "recovery_seconds": recovery_seconds,
                "loss_seconds": loss_seconds,
                "certificate": Jsonb(dict(certificate)),
            },
        )
        write_audit(
            connection,
            "backup_verified",
            "restore_drills",
            {"drill": drill, "restored_to": restored_to.isoformat()},
        )


def record_proof(
    connection: Connection,
    name: str,
    *,
    restored_to: datetime,
    recovery_seconds: float,
    certificate: Mapping[str, object],
    run_id: str,
) -> None:
    """Record that a backup was restored and checked as part of its being taken."""
    connection.execute(
        statement("backups/record_proof"),
        {
            "name": name,
            "restored_to": restored_to,
            "recovery_seconds": recovery_seconds,
            "loss_seconds": 0,
            "certificate": Jsonb(dict(certificate)),
            "run_id": run_id,
        },
    )


def fail_drill(
    connection: Connection, drill: int, error: str, certificate: Mapping[str, object] | None
) -> None:
    """Record a failure: the backup is not verified from here on."""
    with connection.transaction():
        connection.execute(
            statement("backups/fail_drill"),
            {
                "id": drill,
                "error": error,
                "certificate": Jsonb(dict(certificate)) if certificate is not None else None,
            },
        )
        write_audit(
            connection, "backup_refuted", "restore_drills", {"drill": drill, "error": error}
        )


def give_up_drill(connection: Connection, drill: int, error: str) -> None:
    """Record that a drill could not be held; its backup is as verified as it was."""
    connection.execute(statement("backups/give_up_drill"), {"id": drill, "error": error})
