"""Whether the second bucket holds what the ledger names, object by object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ft_ops.archive.month.generation import Generation
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import StoredObject, Version, read_version, told
from ft_ops.s3.twins import KeyHistory, as_stored, histories

_NOTHING = KeyHistory((), hidden=False)


def recorded(generation: Generation) -> list[StoredObject]:
    """Every object of a generation that the ledger names: parts, lists and manifest."""
    manifest = [generation.manifest] if generation.manifest is not None else []
    return [*(item.stored for item in generation.objects), *manifest]


def listed(second: Bucket, generation: Generation) -> dict[str, KeyHistory]:
    """What the second bucket has under the generation's keys."""
    found: dict[str, KeyHistory] = {}
    for stored in recorded(generation):
        found |= {k: v for k, v in histories(second, stored.key).items() if k == stored.key}
    return found


def missing_from_second(
    second: Bucket, generation: Generation, there: Mapping[str, KeyHistory]
) -> Iterator[str]:
    """What of a generation the second bucket does not hold as the first is to, in words.

    ``there`` is what lies in it by key. Of each object one HEAD tells the SHA-256 of the version
    that has its size and class.
    """
    for stored in recorded(generation):
        problem = _problem(second, stored, there.get(stored.key, _NOTHING))
        if problem is not None:
            yield f"{second.url(stored.key)}: {problem}"


def other_certificate(bucket: Bucket, generation: Generation, newest: Version) -> str | None:
    """How a certificate in a bucket differs from the ledger's, in words; None if it does not."""
    try:
        document = json.loads(read_version(bucket, newest))
        frozen = {(entry["key"], entry["sha256"]) for entry in document.pop("frozen")}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"version {newest.version_id} is no certificate"
    known = {(item.stored.key, item.stored.sha256) for item in generation.objects}
    if document != generation.certificate or frozen != known:
        return f"version {newest.version_id} is not what the ledger has"
    return None


def _problem(second: Bucket, stored: StoredObject, there: KeyHistory) -> str | None:
    if there.hidden:
        return "a delete marker hides it"
    if not there.versions:
        return "it is not there"
    fitting = [version for version in there.versions if version.bytes == stored.bytes]
    if not fitting:
        sizes = ", ".join(f"{version.bytes:,}" for version in there.versions)
        return f"it has {sizes} bytes, the first has {stored.bytes:,}"
    problems = []
    for version in fitting:
        try:
            found = told(second, as_stored(stored, version))
        except OpsError as error:
            problems.append(f"it can't be looked at: {error.cause}")
            continue
        if found.sha256 not in ("", stored.sha256):
            problems.append(f"its SHA-256 is {found.sha256}, the first's is {stored.sha256}")
        elif not found.sha256 and version.version_id != stored.version_id:
            problems.append("S3 tells no SHA-256 of it, and it is no replica of S3's own making")
        elif version.storage_class != stored.storage_class:
            problems.append(f"its class is {version.storage_class}, not {stored.storage_class}")
        else:
            return None
    return "; ".join(problems)
