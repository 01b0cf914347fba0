"""Takes backups: a full, and the increments between fulls, each with a point to restore to."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from ft_ops.backups.claims import claim_bucket, taking
from ft_ops.backups.inventory import ledger
from ft_ops.backups.points.bucket_records import write_point
from ft_ops.backups.provider import BackupProvider, Log, Taken
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket


def take_full(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    *,
    now: datetime,
    run_id: str,
    log: Log,
) -> Taken:
    """Take a full backup and record it, then see to the copies for disaster recovery.

    Refused while another full is being taken, or when another database has claimed the bucket. A
    copy that can't be begun is an OpsError, and the full counts all the same; the next call tries
    again.
    """
    name = ledger.new_name("full", now)
    claim_bucket(connection, bucket, provider.cluster, taking(name))
    with ledger.taking(connection, provider.name, name, "full", run_id):
        taken = provider.take_full(name, log, partial(ledger.begun_as, connection, name))
        write_point(bucket, taken.point)
        ledger.complete(connection, taken.point, taken.stored)
    provider.replicate(log)
    return taken


def take_increment(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    *,
    now: datetime,
    run_id: str,
    log: Log,
) -> Taken:
    """Take an increment and record it.

    Refused without a full backup to start from, or while another increment is being taken.
    """
    if not any(e.kind == "full" and e.state == "complete" for e in ledger.entries(connection)):
        raise Refused(
            "incremental backup",
            cause="there is no full backup that it could follow",
            next_step="run full_backup first",
        )
    name = ledger.new_name("increment", now)
    claim_bucket(connection, bucket, provider.cluster, taking(name))
    with ledger.taking(connection, provider.name, name, "increment", run_id):
        taken = provider.take_increment(name, log)
        write_point(bucket, taken.point)
        ledger.complete(connection, taken.point, taken.stored)
    return taken
