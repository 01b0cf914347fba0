"""What a dead run has written and could not record: found before a step begins, removed by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import record_leftover
from ft_ops.archive.run import Run
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket, Denied
from ft_ops.s3.objects import Version, delete_version, versions
from ft_ops.s3.upload import HalfUpload, abort_upload, half_uploads

Leftover: TypeAlias = Version | HalfUpload


def leftovers(bucket: Bucket, prefixes: Iterable[str]) -> list[Leftover]:
    """Every version and half upload below some prefixes.

    To be listed before the ledger is asked, and removed afterwards: a run that has lost its
    connection, and with it the month's lock, without noticing, can't remove what its successor has
    written.
    """
    return [
        item
        for prefix in prefixes
        for found in (versions(bucket, prefix), half_uploads(bucket, prefix))
        for item in found
    ]


class Occupied(OpsError):
    """Something lies under a generation's keys that may not be removed yet; it is recorded."""


def discard(run: Run, generation: Generation, left: Iterable[Leftover]) -> None:
    """Remove exactly these versions and half uploads.

    Occupied when a lock or a retention keeps one of them: it is written down, and goes when that is
    over, and the generation's keys are not free.
    """
    kept = []
    for leftover in left:
        if not isinstance(leftover, Version):
            abort_upload(run.bucket, leftover)
            continue
        try:
            delete_version(run.bucket, leftover.key, leftover.version_id)
            run.log(f"removed {leftover.key}, which no run has recorded")
        except Denied as error:
            if (leftover.key, leftover.version_id) not in generation.leftovers:
                generation = record_leftover(
                    run.connection, generation, leftover.key, leftover.version_id
                )
            kept.append(str(error))
    if kept:
        raise Occupied(
            f"keys of {generation.name}",
            cause=f"what a dead run wrote can't be removed: {kept[0]}",
            next_step="the rows are exported under the keys of the next generation",
        )
