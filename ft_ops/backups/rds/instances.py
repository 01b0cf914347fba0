"""Reads, waits for, makes and removes RDS instances and snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from botocore.exceptions import ClientError

from ft_ops.backups.provider import Log
from ft_ops.errors import OpsError, Refused
from ft_ops.items import each
from ft_ops.s3.bucket import naming

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef, DBSnapshotTypeDef

T = TypeVar("T")

DRILL_TAG: Final = "ft-ops:drill-of"
KEEP_TAG: Final = "ft-ops:keep"
_PREFIX: Final = "ft-drill-"
_POLL_SECONDS: Final = 15.0
_FAILED: Final = frozenset(
    {"failed", "incompatible-restore", "incompatible-network", "incompatible-parameters"}
)
_ABSENT: Final = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault", "DBSnapshotNotFound"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for RDS, and by which clock."""

    seconds: float
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def poll(self, what: str, read: Callable[[], tuple[T, str]], done: str) -> T:
        """Read until the status is ``done``; an OpsError when it fails or takes too long."""
        until = self.clock() + self.seconds
        while True:
            found, status = read()
            if status == done:
                return found
            if status in _FAILED or self.clock() > until:
                raise OpsError(
                    what,
                    cause=f"its status is {status}"
                    + ("" if status in _FAILED else f" after {self.seconds:.0f} s"),
                    next_step="see its events in the RDS console; give it longer by "
                    "FT_BACKUP_TIMEOUT_MINUTES if it was at work",
                )
            self.sleep(_POLL_SECONDS)


def read_instance(client: RDSClient, identifier: str) -> DBInstanceTypeDef:
    """One instance; an OpsError when there is none."""
    with naming(f"RDS instance {identifier}"):
        return client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]


def read_snapshot(client: RDSClient, identifier: str) -> DBSnapshotTypeDef:
    """One snapshot; an OpsError when there is none."""
    with naming(f"RDS snapshot {identifier}"):
        found = client.describe_db_snapshots(DBSnapshotIdentifier=identifier)
    return found["DBSnapshots"][0]


def refuse_held(client: RDSClient, identifier: str) -> None:
    """Refused when a snapshot carries the tag that keeps it; absent is as good as not held."""
    with naming(f"RDS snapshot {identifier}"), absent_is_fine():
        found = client.describe_db_snapshots(DBSnapshotIdentifier=identifier)["DBSnapshots"]
        if any(tag.get("Key") == KEEP_TAG for s in found for tag in s.get("TagList", [])):
            raise Refused(
                f"delete {identifier}",
                cause=f"it carries the tag {KEEP_TAG}",
                next_step="nothing: it stays until `ft-ops backup release`",
            )


def snapshots(client: RDSClient, instance: str, kind: str) -> list[DBSnapshotTypeDef]:
    """The snapshots of an instance, ``manual`` or ``automated``, oldest first."""
    with naming(f"RDS snapshots of {instance}"):
        pages = client.get_paginator("describe_db_snapshots").paginate(
            DBInstanceIdentifier=instance, SnapshotType=kind
        )
        found = [snapshot for page in pages for snapshot in page["DBSnapshots"]]
    return sorted(found, key=lambda snapshot: snapshot["DBSnapshotIdentifier"])


@contextmanager
def temporary_instance(
    client: RDSClient, source: str, name: str, make: Callable[[str], None], patience: Patience
) -> Iterator[DBInstanceTypeDef]:
    """An instance that ``make`` requests of ``source``, available, and deleted after the block.

    ``make`` tags it. One of that name that somebody else has is left alone.
    """
    identifier = f"{_PREFIX}{name}"[:63].rstrip("-")
    try:
        with naming(f"RDS instance {identifier}"):
            make(identifier)

        def read() -> tuple[DBInstanceTypeDef, str]:
            found = read_instance(client, identifier)
            return found, found.get("DBInstanceStatus", "")

        yield patience.poll(f"RDS instance {identifier}", read, "available")
    finally:
        delete_instance(client, source, identifier)


def sweep_drills(client: RDSClient, source: str, log: Log) -> None:
    """Delete what killed drills of ``source`` left.

    One that can't be deleted now, since RDS is at work on it, is left to the next drill.
    """
    left: list[str] = []
    with naming("RDS instances"):
        for page in client.get_paginator("describe_db_instances").paginate():
            left += [
                instance["DBInstanceIdentifier"]
                for instance in page["DBInstances"]
                if _is_drill_of(source, instance)
            ]
    swept = each(left, lambda identifier: delete_instance(client, source, identifier), log=log)
    for identifier, _ in swept.done:
        log(f"deleted {identifier}, which a killed drill left")


def _is_drill_of(source: str, instance: DBInstanceTypeDef) -> bool:
    tags = {tag.get("Key"): tag.get("Value") for tag in instance.get("TagList", [])}
    return tags.get(DRILL_TAG) == source and instance["DBInstanceIdentifier"].startswith(_PREFIX)


def delete_instance(client: RDSClient, source: str, identifier: str) -> None:
    """Delete an instance that a drill of ``source`` made, with its automated backups.

    Absent is as good as deleted. By its tag: whoever has given that name to an instance of another
    kind loses nothing.
    """
    with naming(f"RDS instance {identifier}"), absent_is_fine():
        found = client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
        if found.get("DBInstanceStatus") == "deleting" or not _is_drill_of(source, found):
            return
        if found.get("DeletionProtection", False):
            # Inherited from the source, whatever the request said.
            client.modify_db_instance(
                DBInstanceIdentifier=identifier, DeletionProtection=False, ApplyImmediately=True
            )
        client.delete_db_instance(
            DBInstanceIdentifier=identifier, SkipFinalSnapshot=True, DeleteAutomatedBackups=True
        )


def delete_snapshot(client: RDSClient, identifier: str) -> None:
    """Delete a snapshot; absent is as good as deleted."""
    with naming(f"RDS snapshot {identifier}"), absent_is_fine():
        client.delete_db_snapshot(DBSnapshotIdentifier=identifier)


@contextmanager
def absent_is_fine() -> Iterator[None]:
    """Let RDS say that the thing is not there."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _ABSENT:
            raise
