"""ops.restore_drills: which drills there were, and the verdict of each.

A drill is booked on what it restored. It ends proven, refuted or unknown; a run that died left it
unknown. Only a refutation takes a backup's trust away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

import psycopg
from psycopg.types.json import Jsonb
from pydantic import BaseModel, Field, ValidationError

from ft_ops.backups.inventory.ledger import Refuted
from ft_ops.backups.points.bucket_records import WrittenVerdict, read_certificate
from ft_ops.backups.provider import Log
from ft_ops.errors import OpsError
from ft_ops.items import Failed
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


def begin_drill(
    connection: Connection,
    backup: str | None,
    target: str,
    run_id: str,
    restored_from: str | None = None,
) -> int:
    """Record that a drill has begun, and that those of dead runs died. Returns its number.

    ``backup`` is what is restored, None where that is no backup of ours. Call it with the drills'
    lock held.
    """
    with connection.transaction():
        connection.execute(statement("backups/end_dead_drills"))
        row = one_row(
            connection.execute(
                statement("backups/begin_drill"),
                {
                    "backup": backup,
                    "target": target,
                    "run_id": run_id,
                    "restored_from": restored_from,
                },
            )
        )
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
    """Record a proof with its certificate."""
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
            {
                "drill": drill,
                "restored_to": restored_to.isoformat(),
                "recovery_seconds": recovery_seconds,
                "loss_seconds": loss_seconds,
            },
        )


def refute_drill(
    connection: Connection,
    drill: int,
    error: str,
    certificate: Mapping[str, object] | None,
    *,
    refutes: Refuted = "backup",
) -> None:
    """Record that the content is not what was backed up: it is not verified from here on."""
    with connection.transaction():
        connection.execute(
            statement("backups/refute_drill"),
            {
                "id": drill,
                "error": error,
                "refutes": refutes,
                "certificate": Jsonb(dict(certificate)) if certificate is not None else None,
            },
        )
        write_audit(
            connection,
            "backup_refuted",
            "restore_drills",
            {"drill": drill, "refutes": refutes, "error": error},
        )


def give_up_drill(
    connection: Connection, drill: int, error: str, certificate: Mapping[str, object] | None = None
) -> None:
    """Record that a drill came to no verdict; its backup is as verified as it was."""
    connection.execute(
        statement("backups/give_up_drill"),
        {
            "id": drill,
            "error": error,
            "certificate": Jsonb(dict(certificate)) if certificate is not None else None,
        },
    )


def restore_verdicts(
    connection: Connection,
    bucket: Bucket,
    written: Iterable[WrittenVerdict],
    known: Mapping[str, Collection[str]],
    log: Log,
) -> tuple[Failed, ...]:
    """Record the verdicts of the bucket that this database has lost, or never knew.

    ``known`` are the backups that it knows, and which objects each has now: what proved more
    than that proves nothing. What was recorded of a run stays as it is, and nothing older than the
    newest verdict that is known comes behind it. A proof that can't be recorded is none; such a
    refutation is returned, because without it a backup seems better than somebody found it, and the
    ledger knows that its backup has one: nothing relies on that until a newer verdict is known.
    """
    lost: list[Failed] = []
    unread: dict[str, list[str]] = {}
    ours = (verdict for verdict in written if verdict.backup in known)
    by_backup = sorted(ours, key=lambda verdict: (verdict.backup, verdict.finished_at))
    for name, group in groupby(by_backup, key=lambda verdict: verdict.backup):
        row = one_row(connection.execute(statement("backups/known_drills"), {"name": name}))
        runs, newest = row
        for verdict in group:
            if newest is not None and verdict.finished_at <= newest:
                continue
            problem = _restore_verdict(connection, bucket, verdict, runs, known[name], log)
            url = bucket.url(verdict.key)
            if problem and verdict.is_proof:
                log(f"{url} is no proof: {problem}")
            elif problem:
                lost.append(_lost_refutation(url, name, _storable(problem)))
                unread.setdefault(name, []).append(str(lost[-1]))
    words = ["; ".join(found) for found in unread.values()]
    connection.execute(
        statement("backups/unread_refutations"), {"names": [*unread], "words": words}
    )
    return tuple(lost)


def _storable(words: str) -> str:
    """Words as PostgreSQL takes them, ours and Dagster's: they may quote what it does not."""
    return words.replace("\0", "?").encode(errors="replace").decode()


def _lost_refutation(url: str, backup: str, problem: str) -> Failed:
    return Failed(
        url,
        f"it refutes {backup}, and is not recorded: {problem}",
        f"read it, and drill {backup} by its name (drill_restore): a newer verdict takes its place",
    )


def _restore_verdict(
    connection: Connection,
    bucket: Bucket,
    verdict: WrittenVerdict,
    known_runs: Sequence[str],
    objects: Collection[str],
    log: Log,
) -> str:
    """Record one verdict; why it can't be, empty where it is recorded or known."""
    try:
        certificate = read_certificate(bucket, verdict)
        record = _CertificateFields.model_validate(certificate)
    except (OpsError, ValidationError) as error:
        return " ".join(str(error).split())
    if record.run_id in known_runs and record.backup in {None, verdict.backup}:
        return ""
    problem = _not_about(verdict, record, objects)
    if problem:
        return problem
    try:
        connection.execute(
            statement("backups/restore_verdict"),
            {
                "name": verdict.backup,
                "state": "passed" if verdict.is_proof else "failed",
                "finished_at": verdict.finished_at,
                "certificate": Jsonb(certificate),
                **record.model_dump(),
            },
        )
    except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
        return f"it can't be recorded: {error}"
    word = "proven" if verdict.is_proof else "refuted"
    log(f"{verdict.backup} was {word} at {verdict.finished_at:%F %T}Z, by its certificate")
    return ""


def _not_about(
    verdict: WrittenVerdict, record: _CertificateFields, objects: Collection[str]
) -> str:
    """Why a record tells nothing of the backup under whose name it lies; empty where it does."""
    if record.backup not in {None, verdict.backup}:
        return f"it is one of {record.backup}"
    if not verdict.is_proof:
        return ""
    lost = sorted(set(record.objects) - set(objects))
    if lost:
        return f"of what it is about, {', '.join(lost)} is gone"
    return "" if record.restored_to else "it does not tell up to when it was restored"


class _CertificateFields(BaseModel):
    """What a certificate tells of its drill. Those of dumps name no target."""

    backup: str | None = Field(default=None, exclude=True)
    objects: tuple[str, ...] = Field(default=(), exclude=True)
    target: str | None = None
    restored_to: datetime | None = None
    recovery_seconds: float = 0
    loss_seconds: float = 0
    run_id: str | None = None
    error: str | None = None
    refutes: Refuted | None = None


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
