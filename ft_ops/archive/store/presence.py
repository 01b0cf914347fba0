"""Whether what the ledger names lies in the bucket, byte for byte, as far as a look can tell."""

from __future__ import annotations

from collections.abc import Iterator

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, months_by_state
from ft_ops.archive.store.manifest import refuse_other_manifest
from ft_ops.errors import OpsError, explained
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import head, read_object


def missing_from(bucket: Bucket, generation: Generation) -> Iterator[str]:
    """What of a proven generation is not there as it is recorded, in words.

    Every recorded version with its size, SHA-256 and class, and a manifest that says what the
    ledger says. One HEAD an object, which needs no thaw, and one small STANDARD object read.
    """
    for item in generation.objects:
        try:
            found = head(bucket, item.stored)
        except OpsError as error:
            yield str(error)
            continue
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
    for month in months_by_state(connection, ("frozen", "purging", "purged")):
        for generation in generations(connection, month):
            if generation.state in {"frozen", "purging", "purged"}:
                with explained(f"objects of {generation.name}"):
                    problems = list(missing_from(bucket, generation))
                if problems:
                    found[generation.name] = problems
    return found
