"""Whether what the ledger names lies in the bucket, byte for byte, as far as a look can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, months_by_state
from ft_ops.archive.month.states import STORED
from ft_ops.archive.store.manifest import refuse_other_manifest
from ft_ops.errors import OpsError, explained
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import head, read_object


def missing_from(bucket: Bucket, generation: Generation) -> Iterator[str]:
    """What of a proven generation is not there as it is recorded, in words.

    Every recorded version with its size and class, what lies in Glacier with its SHA-256 too, and
    a manifest that says what the ledger says. A list in STANDARD that was uploaded in parts has a
    checksum of its parts' checksums: its SHA-256 is compared whenever it is read. One HEAD an
    object, which needs no thaw, and one small STANDARD object read.
    """
    parts = generation.parts()
    for item in generation.objects:
        try:
            found = head(bucket, item.stored)
        except OpsError as error:
            yield str(error)
            continue
        if item not in parts:
            found = replace(found, sha256=item.stored.sha256)
        if found != item.stored:
            yield f"{item.stored.key} is {found}, recorded: {item.stored}"
    try:
        manifest = generation.require_manifest()
        refuse_other_manifest(generation, read_object(bucket, manifest), manifest)
    except OpsError as error:
        yield str(error)


def missing(connection: Connection, bucket: Bucket) -> dict[str, list[str]]:
    """The generations of which something is missing, by name, of all that are frozen or purged."""
    found = {}
    for month in months_by_state(connection, STORED):
        for generation in generations(connection, month):
            if generation.state in STORED:
                with explained(f"objects of {generation.name}"):
                    problems = list(missing_from(bucket, generation))
                if problems:
                    found[generation.name] = problems
    return found
