"""Deletes a full backup, and of the log what nothing needs any more."""

from __future__ import annotations

from collections.abc import Collection

from ft_ops.backups.barman.catalog import wal_deletions
from ft_ops.backups.barman.place import CATALOG_TIMEOUT_SECONDS, Place
from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.provider import Log, StoredBackup
from ft_ops.errors import OpsError, Refused
from ft_ops.programs import run
from ft_ops.s3.objects import hide, objects
from ft_ops.s3.upload import abort_upload, half_uploads


def delete_full(
    place: Place,
    backup: StoredBackup,
    others: Collection[StoredBackup],
    segment_bytes: int,
    floor: int,
    log: Log,
) -> None:
    """Delete a full by barman, which deletes the log before the oldest one that is left.

    Refused when that would take a segment that one of ``others`` needs. What barman can't delete,
    because it does not list it, is hidden object by object, and no log with it.
    """
    if backup.condition == "unfinished" or backup.begins_at_wal is None:
        _hide_pieces(place, backup)
    else:
        _refuse_breaking_a_chain(place, backup, others, segment_bytes)
        _barman_delete(place, backup, others, "--minimum-redundancy", str(floor))
    log(f"deleted {backup.location}")


def _barman_delete(
    place: Place, backup: StoredBackup, others: Collection[StoredBackup], *options: str
) -> str:
    """What barman says of a deletion. Where it refuses, what it names has our names, too."""
    try:
        return run(
            "barman-cloud-backup-delete",
            [*options, "--backup-id", backup.provider_id, *place.arguments],
            timeout_seconds=CATALOG_TIMEOUT_SECONDS,
        )
    except OpsError as error:
        names = [
            f"{one.provider_id} is {one.name}"
            for one in (backup, *others)
            if one.provider_id in error.cause
        ]
        raise OpsError(
            error.what, cause="; ".join([error.cause, *names]), next_step=error.next_step
        ) from error


def _hide_pieces(place: Place, backup: StoredBackup) -> None:
    prefix = f"{place.base}{backup.provider_id}/"
    for upload in half_uploads(place.bucket, prefix):
        abort_upload(place.bucket, upload)
    for stored in objects(place.bucket, prefix):
        hide(place.bucket, stored.key)


def _refuse_breaking_a_chain(
    place: Place, backup: StoredBackup, others: Collection[StoredBackup], segment_bytes: int
) -> None:
    unknown = [o.name for o in others if o.kind == "full" and o.begins_at_wal is None]
    if unknown:
        raise Refused(
            f"delete {backup.name}",
            cause=f"{', '.join(unknown)} lies in the bucket, and nobody knows which log it needs",
            next_step="restore its backup.info from an older version, or give it up by "
            "`ft-ops backup discard`",
        )
    shown = _barman_delete(place, backup, others, "--dry-run")
    needed = {
        Segment.parse(other.begins_at_wal, segment_bytes): other.name
        for other in others
        if other.begins_at_wal is not None
    }
    deleted = wal_deletions(shown, segment_bytes)
    if needed and deleted and deleted[-1] >= min(needed):
        raise Refused(
            f"delete {backup.name}",
            cause=f"barman would delete the log up to {deleted[-1].name}, and a backup that "
            f"stays needs it from {min(needed).name} on: {needed[min(needed)]}",
            next_step="see whether that backup is whole (only_whole_backups); if it is, look for "
            "one of another cluster in the folder, and move it away",
        )
