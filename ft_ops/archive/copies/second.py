"""Makes the second copy of an object, and takes it away with the first.

What lies in a bucket is known by what it is: the same key, size and SHA-256. Nothing is written
over, and nothing goes that is not known to be ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from ft_ops.archive.run import ArchiveTarget
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import (
    Retention,
    StoredObject,
    copy_version,
    delete_version,
    retain,
    told,
)
from ft_ops.s3.twins import holds, twin, under

_NOT_OURS: Final = (
    "find out whose it is. Each archive needs buckets, or an FT_ARCHIVE_PREFIX, of its own"
)


def put_second(
    target: ArchiveTarget,
    source: StoredObject,
    storage_class: str,
    retention: Retention | None = None,
) -> bool:
    """See to it that the second bucket holds a readable version's bytes; whether it was copied.

    Refused where other content lies under that key. False, too, where there is no second bucket.
    """
    second = target.second
    if second is None:
        return False
    found = twin(second, source)
    copied = found is None
    if found is None:
        refuse_other_content(second, source)
        found = copy_version(target.bucket, source, second, storage_class)
        # Asked for by its version: the class that was asked for is the class that it has.
        if told(second, found).storage_class != storage_class:
            raise OpsError(
                f"second copy of {source.key}",
                cause=f"{second.url(source.key)} was not put into {storage_class}",
                next_step="see which classes the second bucket's endpoint has",
            )
    if retention is not None and found.storage_class == storage_class:
        retain(second, found, retention)
    return copied


def refuse_other_content(second: Bucket, stored: StoredObject) -> None:
    """Refused while something else lies under an object's key: it may be another archive's."""
    for version in under(second, stored.key):
        raise Refused(
            f"second copy of {stored.key}",
            cause=f"{second.url(stored.key)} version {version.version_id} holds other content",
            next_step=_NOT_OURS,
        )


def remove_ours(
    bucket: Bucket,
    known: Sequence[StoredObject],
    ids: Collection[tuple[str, str]] = (),
    *,
    before_each: Callable[[], None] = lambda: None,
) -> int:
    """Remove every version of objects that holds their bytes; the number of versions.

    And those that ``ids`` name, by key and version. Refused when anything is left under one of
    their keys: what is not known to be ours stays, and is named. ``before_each`` is called before
    a version goes; what it raises ends the removal.
    """
    removed = 0
    left: list[str] = []
    for stored in known:
        for version in list(under(bucket, stored.key)):
            try:
                is_ours = (version.key, version.version_id) in ids or holds(bucket, stored, version)
            except OpsError as error:
                left.append(str(error))
                continue
            if is_ours:
                before_each()
                delete_version(bucket, version.key, version.version_id)
                removed += 1
            else:
                left.append(f"{bucket.url(version.key)} version {version.version_id}: other bytes")
    left += [f"{bucket.url(key)} is still there" for key in _remaining(bucket, known, left)]
    if left:
        raise Refused(
            f"what is to be gone from {bucket.name}",
            cause="; ".join(left),
            next_step=_NOT_OURS,
        )
    return removed


def _remaining(bucket: Bucket, known: Iterable[StoredObject], named: Sequence[str]) -> list[str]:
    """The proof: keys that still have a version, when none was named already."""
    if named:
        return []
    return [stored.key for stored in known if any(under(bucket, stored.key))]
