"""Where the monthly dumps lie in the bucket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ft_ops.backups.points.bucket_records import point_names
from ft_ops.backups.provider import StoredBackup
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import Listed, objects

DUMPS = "dumps"
ROLES = "roles.sql"


def dump_prefix(name: str) -> str:
    """The folder of one dump."""
    return f"{DUMPS}/{name}/"


def part_key(name: str, number: int) -> str:
    """One part of a dump; the parts in order are the file that pg_restore reads."""
    return f"{dump_prefix(name)}dump.{number:04d}"


def stored_dumps(bucket: Bucket) -> list[StoredBackup]:
    """Every dump in the bucket, whole or not, oldest first. One with a point is whole."""
    grouped: dict[str, list[Listed]] = defaultdict(list)
    for stored in objects(bucket, f"{DUMPS}/"):
        if stored.is_folder:
            continue
        grouped[stored.key.split("/")[1]].append(stored)
    whole = set(point_names(bucket)) if grouped else set()
    return [_stored(bucket, name, found, name in whole) for name, found in grouped.items()]


def _stored(bucket: Bucket, name: str, found: Sequence[Listed], is_whole: bool) -> StoredBackup:
    return StoredBackup(
        provider_id=dump_prefix(name),
        name=name,
        kind="dump",
        condition="complete" if is_whole else "unfinished",
        problem=None if is_whole else "it has no restore point: its upload or its proof died",
        started_at=min(stored.last_modified for stored in found),
        location=bucket.url(dump_prefix(name)),
        bytes=sum(stored.bytes for stored in found),
        storage_classes=tuple(sorted({stored.storage_class for stored in found})),
        is_held=False,
        replica=None,
        objects={stored.key.removeprefix(dump_prefix(name)): stored.etag for stored in found},
    )
