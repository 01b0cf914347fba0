"""What RDS says of snapshots and of its own backups, in the operations' terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ft_ops.backups.inventory.ages import is_late
from ft_ops.backups.provider import Condition, Kind, Replica, StoredBackup
from ft_ops.backups.rds.copies import is_copy_of
from ft_ops.backups.rds.instances import KEEP_TAG

if TYPE_CHECKING:
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef, DBSnapshotTypeDef

SHORTEST_AUTOMATED_DAYS: Final = 7
_GIBIBYTE: Final = 1 << 30


def kind_of(identifier: str) -> Kind | None:
    """What our own snapshots are by their names; None for anybody else's."""
    if identifier.startswith("full-"):
        return "full"
    return "increment" if identifier.startswith("increment-") else None


def stored(
    snapshot: DBSnapshotTypeDef,
    kind: Kind,
    resource_id: str,
    copies: Mapping[str, DBSnapshotTypeDef] | None,
) -> StoredBackup:
    """One snapshot, and its copy if copies are kept. ``resource_id`` is the living instance's."""
    identifier = snapshot["DBSnapshotIdentifier"]
    condition, problem = _condition(snapshot, resource_id)
    return StoredBackup(
        provider_id=identifier,
        name=identifier,
        kind=kind,
        condition=condition,
        problem=problem,
        started_at=snapshot.get("SnapshotCreateTime"),
        location=snapshot.get("DBSnapshotArn", ""),
        bytes=snapshot.get("AllocatedStorage", 0) * _GIBIBYTE,
        storage_classes=("RDS",),
        is_held=any(tag.get("Key") == KEEP_TAG for tag in snapshot.get("TagList", [])),
        replica=(
            _replica(copies.get(identifier), snapshot.get("DBSnapshotArn", ""))
            if copies is not None
            else None
        ),
    )


def automation_problems(
    instance: DBInstanceTypeDef, automated: Sequence[DBSnapshotTypeDef], now: datetime
) -> Iterator[str]:
    """What is wrong with the backups that RDS takes by itself, which recovery builds on."""
    days = instance.get("BackupRetentionPeriod", 0)
    if days == 0:
        yield "automated backups are off: there is no log to recover by"
        return
    if days < SHORTEST_AUTOMATED_DAYS:
        yield f"automated backups are kept {days} days, and {SHORTEST_AUTOMATED_DAYS} are promised"
    finished = [s["SnapshotCreateTime"] for s in automated if s.get("Status") == "available"]
    newest = max(finished, default=None)
    if newest is None:
        yield "there is no automated snapshot"
    elif is_late("full", newest, now):
        yield f"the newest automated snapshot is of {newest:%F %T}Z: RDS skips it during a copy"


def _condition(snapshot: DBSnapshotTypeDef, resource_id: str) -> tuple[Condition, str | None]:
    status = snapshot.get("Status", "")
    owner = snapshot.get("DbiResourceId", resource_id)
    if owner != resource_id:
        return "foreign", f"it is of the instance {owner}, this one is {resource_id}"
    if status == "available":
        return "complete", None
    if status == "failed":
        return "failed", "RDS could not take it: see the instance's events"
    return "unfinished", f"its status is {status}"


def _replica(copy: DBSnapshotTypeDef | None, location: str) -> Replica | None:
    if copy is None:
        return Replica("", "it has no copy")
    if not is_copy_of(copy, location):
        source = copy.get("SourceDBSnapshotIdentifier") or "nothing from another region"
        return Replica("", f"what has its name in the other region is a copy of {source}")
    status = copy.get("Status", "")
    problem = None if status == "available" else f"its copy's status is {status}"
    return Replica(copy.get("DBSnapshotArn", ""), problem)
