"""Proves that what is in the bucket is what was in the database, by bringing it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from ft_ops.archive.content import TABLES
from ft_ops.archive.digest import differences, month_digests, total
from ft_ops.archive.ledger import Generation, enter, record_certificate
from ft_ops.archive.load import loaded
from ft_ops.archive.manifest import software
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import WrongContent


def prove_month(
    connection: Connection,
    url: str,
    bucket: Bucket,
    generation: Generation,
    *,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
) -> Generation:
    """Read the stored bytes back, load them as a thaw would, and compare every row's digest.

    Records a certificate. WrongContent or Missing name the object or the table that is not what
    was exported; the month stays in the database, unproven.
    """
    started = time.monotonic()
    generation = enter(connection, generation, "proving", run_id)
    manifest = generation.require_manifest()
    with loaded(connection, url, bucket, generation, purpose="proof", log=log) as copy:
        found = month_digests(connection, copy.source, copy.columns)
    problems = differences(generation.require_digests(), found)
    if problems:
        raise WrongContent(
            f"proof of {generation.name}",
            cause="; ".join(problems),
            next_step="the rows are still in the database; materialize content_archive for this "
            "month again",
        )
    return record_certificate(
        connection,
        generation,
        {
            "proven_at": datetime.now(UTC).isoformat(),
            "seconds": round(time.monotonic() - started, 3),
            "run_id": run_id,
            "manifest": {"key": manifest.key, "version_id": manifest.version_id},
            "digests": {table: str(total(found[table])) for table in TABLES},
            "rows": {table: total(found[table]).rows for table in TABLES},
            "objects": [
                {
                    "key": item.stored.key,
                    "version_id": item.stored.version_id,
                    "sha256": item.stored.sha256,
                }
                for item in generation.objects
            ],
            "software": software(str(connection.info.server_version)),
        },
    )
