"""The same bytes under the same key in another bucket, or as another version: known by content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ft_ops.s3.bucket import Bucket, naming
from ft_ops.s3.objects import StoredObject, Unverified, Version, head, versions


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """What lies under one key: its versions, newest first; hidden: a delete marker is on top."""

    versions: tuple[Version, ...]
    hidden: bool


def histories(bucket: Bucket, prefix: str) -> dict[str, KeyHistory]:
    """Every key below a prefix with all that lies under it; one request for a thousand versions."""
    found: dict[str, list[Version]] = {}
    hidden: set[str] = set()
    with naming(bucket.url(prefix)):
        pages = bucket.client.get_paginator("list_object_versions").paginate(
            Bucket=bucket.name, Prefix=prefix
        )
        for page in pages:
            for marker in page.get("DeleteMarkers", []):
                found.setdefault(marker["Key"], [])
                if marker["IsLatest"]:
                    hidden.add(marker["Key"])
            for item in page.get("Versions", []):
                found.setdefault(item["Key"], []).append(
                    Version(
                        key=item["Key"],
                        version_id=item["VersionId"],
                        bytes=item["Size"],
                        storage_class=item.get("StorageClass", "STANDARD"),
                        last_modified=item["LastModified"],
                    )
                )
    return {key: KeyHistory(tuple(items), key in hidden) for key, items in found.items()}


def twin(bucket: Bucket, stored: StoredObject) -> StoredObject | None:
    """The version of the object's key that holds its bytes, whatever its id; None: there is none.

    By size and SHA-256, as S3 tells it or else of the content, which is read. Unverified when no
    version is known to hold them and of one that can't be told.
    """
    untold: Unverified | None = None
    for version in versions(bucket, stored.key):
        if version.key != stored.key or version.bytes != stored.bytes:
            continue
        try:
            if holds(bucket, stored, version):
                return as_stored(stored, version)
        except Unverified as error:
            untold = error
    if untold is not None:
        raise untold
    return None


def holds(bucket: Bucket, stored: StoredObject, version: Version) -> bool:
    """Whether a version of the object's key holds its bytes; Unverified when nobody can tell.

    S3's own replication keeps a version's id: such a one is its replica.
    """
    if version.bytes != stored.bytes:
        return False
    candidate = as_stored(stored, version)
    try:
        return head(bucket, candidate).sha256 == stored.sha256
    except Unverified:
        if version.version_id == stored.version_id:
            return True
        raise


def as_stored(stored: StoredObject, version: Version) -> StoredObject:
    """The object as it is in that version."""
    return replace(stored, version_id=version.version_id, storage_class=version.storage_class)


def under(bucket: Bucket, key: str) -> Iterator[Version]:
    """Every version of exactly this key."""
    return (version for version in versions(bucket, key) if version.key == key)
