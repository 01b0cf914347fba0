"""Moves a proven generation's objects to Glacier, each as a new version of the same bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from ft_ops.archive.copies.second import put_second
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.ledger import enter, finish, record_leftover, record_objects
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.s3.bucket import Bucket, Denied
from ft_ops.s3.objects import (
    Retention,
    StoredObject,
    WrongContent,
    copy_to_class,
    delete_version,
    head,
    put_once,
    retain,
    versions,
)
from ft_ops.s3.twins import as_stored

FROZEN: Final = frozenset({"GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"})
"""What is in one of these stays there, although FT_ARCHIVE_STORAGE_CLASS names another by now: it
can't be copied without a retrieval, and its smallest billed time has begun."""


def freeze_month(run: Run, generation: Generation) -> Generation:
    """Copy each object to its Glacier class, record the copy, and remove the STANDARD version.

    The copy's SHA-256, computed by S3, must be the proven one. Manifest, certificate and lists stay
    in STANDARD: they have to be readable without a thaw. Where there is to be a second copy, it is
    made before the version that can be read goes; without it the freeze does not end. A STANDARD
    version that a retention of the bucket's own protects is recorded, and removed when that is
    over.
    """
    if generation.proven_at is None:
        raise Refused(
            f"freeze of {generation.name}",
            cause=f"it is not proven, its state is {generation.state}",
            next_step="materialize content_archive for this month",
        )
    lock = run.rules.lock
    retention = None
    if lock is not None:
        retention = Retention(lock.mode, generation.proven_at + timedelta(days=lock.days))
    generation = enter(run.connection, generation, "freezing", run.run_id)
    for item in generation.parts():
        if item.stored.storage_class not in FROZEN:
            frozen = _frozen_version(run.bucket, item.stored, run.rules.storage_class)
            if retention is not None:
                retain(run.bucket, frozen, retention)
            objects = _replaced(generation.objects, item, frozen)
            generation = record_objects(run.connection, generation, objects)
            # While there is a version that can be read: a frozen one has to be asked for.
            put_second(run.target, item.stored, frozen.storage_class, retention)
            # By its id, whatever is listed. A lifecycle rule may have frozen the very version.
            if frozen.version_id != item.stored.version_id:
                generation = _remove(run, generation, item.stored.key, item.stored.version_id)
            run.log(f"{item.stored.key} is in {frozen.storage_class}")
        generation = _remove_other_versions(run, generation, item, retention)
    for item in generation.objects:
        if item not in generation.parts():
            put_second(run.target, item.stored, item.stored.storage_class)
    put_second(run.target, generation.require_manifest(), "STANDARD")
    write_certificate(run.bucket, generation)
    return finish(run.connection, generation, "frozen")


def _frozen_version(bucket: Bucket, stored: StoredObject, storage_class: str) -> StoredObject:
    """The frozen version: the one that a dead run left, if its bytes are the same, else a new one.

    It gets its lock afterwards and by its version. A copy that was locked as it was made, and
    whose answer was lost, would be a second one that nobody could remove.
    """
    for version in versions(bucket, stored.key):
        if version.key == stored.key and version.storage_class in FROZEN:
            candidate = replace(
                stored, version_id=version.version_id, storage_class=version.storage_class
            )
            if head(bucket, candidate) == candidate:
                return candidate
    return copy_to_class(bucket, stored, storage_class)


def _remove_other_versions(
    run: Run, generation: Generation, item: ArchivedObject, retention: Retention | None
) -> Generation:
    """Remove the versions of a recorded object's key that are not the recorded one.

    Not before the recorded one is found to be there. A dead run may not have come to its second
    copy: such a version is what it is made of.
    """
    certified: Any = (generation.certificate or {}).get("objects", ())
    exported = {(entry["key"], entry["version_id"]) for entry in certified}
    current = next(
        o.stored for o in generation.objects if (o.table, o.part) == (item.table, item.part)
    )
    others = [
        version
        for version in versions(run.bucket, current.key)
        if version.key == current.key and version.version_id != current.version_id
    ]
    if others and (found := head(run.bucket, current)) != current:
        raise WrongContent(
            f"{run.bucket.url(current.key)} version {current.version_id}",
            cause=f"it is {found}, recorded: {current}",
            next_step="its other versions stay. ft-ops archive mend puts back what is lost",
        )
    for version in others:
        if (version.key, version.version_id) in exported:
            source = as_stored(current, version)
            put_second(run.target, source, current.storage_class, retention)
        generation = _remove(run, generation, version.key, version.version_id)
    return generation


def _remove(run: Run, generation: Generation, key: str, version_id: str) -> Generation:
    """Remove a version that a frozen one replaces, or record that it can't be removed yet."""
    if (key, version_id) in generation.leftovers:
        return generation
    try:
        delete_version(run.bucket, key, version_id)
    except Denied as error:
        run.log(f"{error}; it stays for now, and is removed once that is allowed")
        return record_leftover(run.connection, generation, key, version_id)
    return generation


def _replaced(
    objects: tuple[ArchivedObject, ...], item: ArchivedObject, stored: StoredObject
) -> tuple[ArchivedObject, ...]:
    return tuple(
        replace(o, stored=stored) if (o.table, o.part) == (item.table, item.part) else o
        for o in objects
    )


def write_certificate(bucket: Bucket, generation: Generation) -> None:
    """Write a frozen generation's certificate, unless one can be seen there."""
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
    body = json.dumps(document, indent=1, ensure_ascii=False).encode()
    with suppress(Refused):
        put_once(bucket, generation.certificate_key, body)
