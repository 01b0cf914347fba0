"""Moves a proven generation's objects to Glacier, each as a new version of the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.ledger import ArchivedObject, Generation, enter, finish, record_objects
from ft_ops.archive.store.layout import certificate_key
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import (
    Retention,
    StoredObject,
    copy_to_class,
    delete_version,
    head,
    put_once,
    retain,
    versions,
)


@dataclass(frozen=True, slots=True)
class Lock:
    """The Object Lock that frozen versions get: S3's mode, and days from the proof."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    days: int


def freeze_month(
    connection: Connection,
    bucket: Bucket,
    prefix: str,
    generation: Generation,
    *,
    storage_class: str,
    lock: Lock | None = None,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
) -> Generation:
    """Copy each object to ``storage_class``, record the copy, and remove the STANDARD version.

    The copy's SHA-256, computed by S3, must be the proven one. Manifest, certificate and the
    list of subjects stay in STANDARD: they have to be readable without a thaw.
    """
    if generation.proven_at is None:
        raise Refused(
            f"freeze of {generation.name}",
            cause=f"it is not proven, its state is {generation.state}",
            next_step="materialize content_archive for this month",
        )
    retention = None
    if lock is not None:
        retention = Retention(lock.mode, generation.proven_at + timedelta(days=lock.days))
    generation = enter(connection, generation, "freezing", run_id)
    for item in generation.objects:
        if item.table in TABLES and item.stored.storage_class != storage_class:
            frozen = _frozen_version(bucket, item.stored, storage_class)
            if retention is not None:
                retain(bucket, frozen, retention)
            generation = record_objects(
                connection, generation, _replaced(generation.objects, item, frozen)
            )
            # By its id, whatever is listed. A lifecycle rule may have frozen the very version.
            if frozen.version_id != item.stored.version_id:
                delete_version(bucket, item.stored.key, item.stored.version_id)
            log(f"{item.stored.key} is in {storage_class}")
        _remove_other_versions(bucket, generation, item)
    _write_certificate(bucket, prefix, generation)
    return finish(connection, generation, "frozen")


def _frozen_version(bucket: Bucket, stored: StoredObject, storage_class: str) -> StoredObject:
    """The frozen version: one that a dead run left, if its bytes are the same, else a new one.

    It gets its lock afterwards and by its version. A copy that was locked as it was made, and
    whose answer was lost, would be a second one that nobody could remove.
    """
    for version in versions(bucket, stored.key):
        if version.key == stored.key and version.storage_class == storage_class:
            candidate = replace(stored, version_id=version.version_id, storage_class=storage_class)
            if head(bucket, candidate) == candidate:
                return candidate
    return copy_to_class(bucket, stored, storage_class)


def _remove_other_versions(bucket: Bucket, generation: Generation, item: ArchivedObject) -> None:
    """Remove the versions of a recorded object's key that are not the recorded one."""
    if item.table not in TABLES:
        return
    current = next(
        o.stored for o in generation.objects if (o.table, o.part) == (item.table, item.part)
    )
    for version in list(versions(bucket, current.key)):
        if version.key == current.key and version.version_id != current.version_id:
            delete_version(bucket, version.key, version.version_id)


def _replaced(
    objects: tuple[ArchivedObject, ...], item: ArchivedObject, stored: StoredObject
) -> tuple[ArchivedObject, ...]:
    return tuple(
        replace(o, stored=stored) if (o.table, o.part) == (item.table, item.part) else o
        for o in objects
    )


def _write_certificate(bucket: Bucket, prefix: str, generation: Generation) -> None:
    key = certificate_key(prefix, generation.month, generation.number)
    if any(version.key == key for version in versions(bucket, key)):
        return
    document = {
        **(generation.certificate or {}),
        "frozen": [
            {
                "key": item.stored.key,
                "version_id": item.stored.version_id,
                "storage_class": item.stored.storage_class,
                "sha256": item.stored.sha256,
            }
            for item in generation.objects
        ],
    }
    put_once(bucket, key, json.dumps(document, indent=1, ensure_ascii=False).encode())
