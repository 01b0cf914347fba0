"""Copies of snapshots in the other region: begun, told from those of others, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ft_ops.backups.provider import Log, StoredBackup
from ft_ops.backups.rds.instances import absent_is_fine
from ft_ops.items import each
from ft_ops.s3.bucket import naming

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import CopyDBSnapshotMessageTypeDef, DBSnapshotTypeDef


def begin_copies(
    client: RDSClient,
    backups: Sequence[StoredBackup],
    states: Mapping[str, str],
    *,
    region: str,
    key: str | None,
    log: Log,
) -> None:
    """Begin a copy of each full that has none there, or a failed one; ``states`` are of those.

    The newest first: RDS copies a few at once, and one that can't be copied must not stand before
    it. What can't be begun is named at the end. ``region`` is the snapshots' own.
    """

    def copy(backup: StoredBackup) -> None:
        if states.get(backup.name) == "failed":
            delete_copy(client, backup.name, backup.location)
        request: CopyDBSnapshotMessageTypeDef = {
            "SourceDBSnapshotIdentifier": backup.location,
            "TargetDBSnapshotIdentifier": backup.name,
            "SourceRegion": region,
            "CopyTags": True,
        }
        if key is not None:
            request["KmsKeyId"] = key
        with naming(f"copy of RDS snapshot {backup.name}"):
            client.copy_db_snapshot(**request)
        log(f"a copy of {backup.name} is under way")

    wanted = [
        backup
        for backup in reversed(backups)
        if backup.kind == "full"
        and backup.condition == "complete"
        and states.get(backup.name, "failed") == "failed"
    ]
    begun = each(wanted, copy, name=lambda backup: backup.name, log=log)
    begun.refuse_failures("copies in the other region")


def is_copy_of(copy: DBSnapshotTypeDef, location: str) -> bool:
    """Whether a snapshot of another region was copied from the one at ``location``, its ARN.

    Two instances in two regions may give their snapshots the same names. RDS names the source of
    every copy from another region: what has none is somebody's own.
    """
    return copy.get("SourceDBSnapshotIdentifier") == location


def delete_copy(client: RDSClient, identifier: str, location: str) -> None:
    """Delete the copy of the snapshot at ``location``; absent, or another's, is left alone."""
    with naming(f"RDS snapshot {identifier}"), absent_is_fine():
        found = client.describe_db_snapshots(DBSnapshotIdentifier=identifier)["DBSnapshots"]
        if all(is_copy_of(copy, location) for copy in found):
            client.delete_db_snapshot(DBSnapshotIdentifier=identifier)
