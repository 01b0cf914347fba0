"""What a dead run has written and could not record: found before a step begins, removed by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ft_ops.s3.bucket import Bucket
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


def discard(bucket: Bucket, leftover: Leftover) -> None:
    """Remove exactly this version or half upload."""
    if isinstance(leftover, Version):
        delete_version(bucket, leftover.key, leftover.version_id)
    else:
        abort_upload(bucket, leftover)
