"""Proves that what is in the bucket is what is in the database, by bringing it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime

from ft_ops.archive.month.content import TABLES, Source, TableColumns
from ft_ops.archive.month.digest import MonthDigests, differences, month_digests, total
from ft_ops.archive.month.ledger import Generation, enter, month_source, record_proof
from ft_ops.archive.proof.load import loaded
from ft_ops.archive.store.export import ArchiveTarget
from ft_ops.archive.store.layout import manifest_key
from ft_ops.archive.store.manifest import build_manifest, software
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.pace import Pace
from ft_ops.s3.objects import delete_version, put_once, versions


class RowsDiffer(OpsError):
    """The archive's rows are not the database's: these were changed, or the archive is wrong."""


def prove_month(
    connection: Connection,
    url: str,
    target: ArchiveTarget,
    generation: Generation,
    *,
    source: Source | None = None,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
) -> Generation:
    """Read the stored bytes back, load them as a thaw would, and compare every row's digest.

    Writes the manifest and records a certificate. WrongContent or Missing name an object that is
    not what was exported, RowsDiffer the tables that are not (or no longer) what the database
    has; in each case the month stays there, unproven.
    """
    started = time.monotonic()
    key = manifest_key(target.prefix, generation.month, generation.number)
    # A dead run's, that it could not record any more. Listed before the ledger is asked: a run
    # that has lost its lock without noticing can't remove its successor's.
    left = list(versions(target.bucket, key))
    generation = enter(connection, generation, "proving", run_id)
    source = source or month_source(connection, generation)
    columns = generation.require_columns()
    with (
        ThreadPoolExecutor(1, thread_name_prefix="digest") as pool,
        loaded(
            connection,
            url,
            target.bucket,
            generation,
            purpose="proof",
            pace=target.pace,
            log=log,
        ) as copy,
    ):
        there = pool.submit(_digests, url, source, columns, target.pace)
        if target.pace.is_beside_others():
            wait([there])
        found = month_digests(connection, copy.source, copy.columns, target.pace)
        problems = differences(there.result(), found)
    if problems:
        raise RowsDiffer(
            f"proof of {generation.name}",
            cause="; ".join(problems),
            next_step="the rows are still in the database; materialize content_archive for this "
            "month again",
        )
    certificate = _certificate(connection, generation, found, run_id, time.monotonic() - started)
    body = build_manifest(generation, found, certificate, bucket=target.bucket.name)
    for leftover in left:
        delete_version(target.bucket, leftover.key, leftover.version_id)
    manifest = put_once(target.bucket, key, body)
    return record_proof(connection, generation, found, manifest, certificate)


def _digests(url: str, source: Source, columns: TableColumns, pace: Pace) -> MonthDigests:
    """The database's side, in one snapshot, over a connection of its own."""
    with connect(url, application="archive proof") as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return month_digests(reader, source, columns, pace)


def _certificate(
    connection: Connection,
    generation: Generation,
    digests: MonthDigests,
    run_id: str,
    seconds: float,
) -> dict[str, object]:
    return {
        "proven_at": datetime.now(UTC).isoformat(),
        "seconds": round(seconds, 3),
        "run_id": run_id,
        "digests": {table: str(total(digests[table])) for table in TABLES},
        "rows": {table: total(digests[table]).rows for table in TABLES},
        "objects": [
            {
                "key": item.stored.key,
                "version_id": item.stored.version_id,
                "sha256": item.stored.sha256,
            }
            for item in generation.objects
        ],
        "software": software(str(connection.info.server_version)),
    }
