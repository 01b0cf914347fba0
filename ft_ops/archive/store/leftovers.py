"""What a dead run has written and could not record: found before a step begins, removed by it."""

from __future__ import annotations

from collections.abc import Iterable
from os.path import commonprefix
from typing import TypeAlias

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import record_leftover
from ft_ops.archive.recorded.records import is_recorded
from ft_ops.archive.run import ArchiveTarget, Run
from ft_ops.archive.store.freeze import FROZEN
from ft_ops.archive.store.layout import manifest_key
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
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
    names = tuple(prefixes)
    found: list[Leftover] = [version for prefix in names for version in versions(bucket, prefix)]
    # Few uploads are under way at once: one listing for all prefixes, and not one for each.
    uploads = half_uploads(bucket, commonprefix(names))  # noqa: RUF071 as S3 compares them
    return found + [upload for upload in uploads if upload.key.startswith(names)]


class Occupied(OpsError):
    """Something lies under a generation's keys that may not be removed, or not yet."""


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


def refuse_proven(
    target: ArchiveTarget, name: str, month: Month, number: int, left: Iterable[Leftover]
) -> None:
    """Refused where something lies there that only comes after a proof: it may be the only copy.

    That is a manifest or what lies beside it, or an object in a class that nothing is exported to.
    Where the bucket records none such, nobody can adopt it: it stays, and the keys are Occupied.
    """
    manifest = manifest_key(target.prefix, month, number)
    folder = manifest.rpartition("/")[0]
    found = [version for version in left if isinstance(version, Version)]
    later = [v for v in found if v.key.startswith(folder) or v.storage_class in FROZEN]
    for version in sorted(later, key=lambda v: v.key != manifest)[:1]:
        what = "the manifest" if version.key == manifest else f"in {version.storage_class} and part"
        there = f"s3://{target.bucket.name}/{version.key} is {what} of a proven generation that "
        if not is_recorded(target, month, number):
            raise Occupied(
                f"keys of {name}",
                cause=f"{there}neither this database's ledger nor a record of the bucket knows: "
                "the database was recovered to before it, or a copy wrote it",
                next_step="the rows are exported under the keys of the next generation. Nothing "
                "was removed; archived_objects_are_there names what lies there",
            )
        raise Refused(
            f"export of {name}",
            cause=f"{there}this database's ledger does not know: the database was recovered to an "
            "earlier moment, or the folder is another database's",
            next_step="this database's own is adopted by ft-ops archive adopt; if it is another's, "
            "set FT_ARCHIVE_PREFIX to a folder of its own. Nothing was removed",
        )
