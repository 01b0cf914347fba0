"""Takes backups: a full, and the increments between fulls, each with a point to restore to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from ft_ops.backups import ledger
from ft_ops.backups.bucket_records import write_point
from ft_ops.backups.points import RestorePoint, take_point
from ft_ops.backups.provider import BackupProvider, Kind, Log
from ft_ops.errors import Refused, mask_secrets
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class TakenBackup:
    """A backup that is whole, and the point that it can be restored to."""

    point: RestorePoint
    provider_id: str
    bytes: int | None
    location: str


def take_full(
    connection: Connection,
    url: str,
    provider: BackupProvider,
    bucket: Bucket,
    *,
    now: datetime,
    run_id: str,
    log: Log,
) -> TakenBackup:
    """Take a full backup that ends in a restore point, and wait until both are in the bucket.

    The point is marked after the backup's end, so that the backup with the log up to the point
    is complete in itself. Refused while another full is being taken.
    """
    name = _name("full", now)
    with _taking(connection, provider, name, "full", run_id):
        stored = provider.take_full(name, log)
        point = take_point(url, name, provider.mark_log)
        provider.await_point(point, log)
        write_point(bucket, point)
        ledger.complete(connection, point, stored.provider_id, stored.bytes)
    return TakenBackup(point, stored.provider_id, stored.bytes, stored.location)


def take_increment(
    connection: Connection,
    url: str,
    provider: BackupProvider,
    bucket: Bucket,
    *,
    now: datetime,
    run_id: str,
    log: Log,
) -> TakenBackup:
    """Mark a restore point and wait until everything up to it is in the bucket.

    Refused without a full backup to start from, or while another increment is being taken.
    """
    if not any(e.kind == "full" and e.state == "complete" for e in ledger.entries(connection)):
        raise Refused(
            "incremental backup",
            cause="there is no full backup that it could follow",
            next_step="run full_backup first",
        )
    name = _name("increment", now)
    with _taking(connection, provider, name, "increment", run_id):
        point = take_point(url, name, provider.mark_log)
        provider.await_point(point, log)
        provider_id = provider.take_increment(point, log)
        write_point(bucket, point)
        ledger.complete(connection, point, provider_id, None)
    return TakenBackup(point, provider_id, None, bucket.url(provider_id))


@contextmanager
def _taking(
    connection: Connection, provider: BackupProvider, name: str, kind: Kind, run_id: str
) -> Iterator[None]:
    with only_one(connection, f"{kind} backup"):
        ledger.begin(connection, name, kind, provider.name, run_id)
        try:
            yield
        except Exception as error:
            ledger.fail(connection, name, mask_secrets(str(error)))
            raise


def _name(kind: Kind, now: datetime) -> str:
    # A snapshot's identifier on RDS as well: lower case, letters, digits and hyphens.
    return f"{kind}-{now:%Y%m%dt%H%M%Sz}"
